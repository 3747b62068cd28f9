"""Identities: entities and their limits, whose a key is, what somebody holds, and the first key of a node."""

import asyncio
import json
import stat
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from mirror.aws.errors import (
    DeleteConflict,
    EntityAlreadyExists,
    ExpiredToken,
    IamLimitExceeded,
    IamValidationError,
    MalformedPolicyDocument,
    NoSuchEntity,
    UnmodifiableEntity,
    UnrecognizedClient,
)
from mirror.aws.principals import ANONYMOUS, Principal
from mirror.oci.errors import RegistryError, Unauthorized
from mirror.oci.names import Registry
from mirror.registry.identities import Identities, Passwords, Seals, caller_identity
from mirror.rules.access import Question, decide
from mirror.rules.identities import PasswordPolicyViolation
from mirror.store.documents import Edit
from mirror.store.store import Store

ACCOUNT = "123456789012"
OTHER = "210987654321"
NOW = 1_800_000_000.0
READ_ONLY = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"


def allow(action: str, resource: str = "*") -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trust(who: object) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": who}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def may(world: Any, principal: Principal, action: str) -> bool:
    question = Question(principal, action, f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/app", ACCOUNT, {})
    return decide(question, identity=world.identities.identity_policies(principal), resource=()).allowed


# Users and roles.


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a:b", "\u0430dmin", "a" * 65, "a\n", "x\0", "*", "\u0661"])
async def test_a_name_outside_iams_grammar_is_refused(world: Any, name: str) -> None:
    r"""IAM: [\w+=,.@-]+ in ASCII, 64 characters at most."""
    with pytest.raises(IamValidationError):
        await world.identities.holders.create_user(ACCOUNT, name, NOW)
    with pytest.raises(IamValidationError):
        await world.identities.holders.create_role(ACCOUNT, name, trust(ACCOUNT), NOW)


async def test_a_name_of_another_case_is_the_same_name(world: Any) -> None:
    """IAM guide, "IAM names": unique within the account, not case-sensitive."""
    await world.user("Ci")
    with pytest.raises(EntityAlreadyExists, match=r"User with name ci already exists\."):
        await world.user("ci")
    await world.user("ci", OTHER)


async def test_accounts_do_not_see_each_other(world: Any) -> None:
    """RELIABILITY A11."""
    await world.user("ci")
    with pytest.raises(NoSuchEntity, match=r"The user with name ci cannot be found\."):
        world.identities.holders.user(OTHER, "ci")
    assert world.identities.holders.users(OTHER) == []


async def test_two_makers_of_one_name_make_one_user(world: Any) -> None:
    """RELIABILITY A12: a race of two creations of one new name."""
    made = await asyncio.gather(*(world.user("ci") for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(one, Principal) for one in made) == 1


async def test_concurrent_changes_of_one_user_are_all_kept(world: Any) -> None:
    """Read, change, write: none of ten is lost."""
    await world.user("ci")
    names = [f"p{number}" for number in range(10)]
    put = world.identities.holders.put_inline
    await asyncio.gather(*(put(ACCOUNT, "user", "ci", name, allow("ecr:GetAuthorizationToken")) for name in names))
    assert sorted(world.identities.holders.user(ACCOUNT, "ci").inline) == sorted(names)


async def test_a_role_may_have_more_inline_than_a_user(world: Any) -> None:
    """IAM quotas: 2,048 characters of a user's inline policies together, 10,240 of a role's; white space is free."""
    await world.user("ci")
    holders = world.identities.holders
    await holders.create_role(ACCOUNT, "builder", trust(ACCOUNT), NOW)
    actions = [f"ecr:Describe{'*' * number}" for number in range(1, 100)]
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    long = json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=4)
    assert 6_144 < len("".join(long.split())) < 10_240
    await holders.put_inline(ACCOUNT, "role", "builder", "own", long)
    with pytest.raises(IamLimitExceeded):
        await holders.put_inline(ACCOUNT, "role", "builder", "more", long)
    with pytest.raises(IamLimitExceeded):
        await holders.put_inline(ACCOUNT, "user", "ci", "own", long)


async def test_a_user_that_holds_something_is_not_deleted(world: Any) -> None:
    """IAM, DeleteUser: DeleteConflict until keys, password and policies are gone, each said in its turn."""
    await world.user("ci")
    holders, keys, logins = world.identities.holders, world.identities.keys, world.identities.logins
    await holders.attach(ACCOUNT, "user", "ci", READ_ONLY)
    await holders.put_inline(ACCOUNT, "user", "ci", "own", allow("ecr:*"))
    key, _ = await keys.create(ACCOUNT, "ci", NOW)
    await logins.create(ACCOUNT, "ci", "correct horse", NOW)
    steps: list[tuple[str, Callable[[], Awaitable[None]]]] = [
        ("detach all policies", lambda: holders.detach(ACCOUNT, "user", "ci", READ_ONLY)),
        ("delete policies", lambda: holders.delete_inline(ACCOUNT, "user", "ci", "own")),
        ("delete access keys", lambda: keys.delete(ACCOUNT, "ci", key.id)),
        ("delete login profile", lambda: logins.delete(ACCOUNT, "ci")),
    ]
    for what, step in steps:
        with pytest.raises(DeleteConflict, match=f"Cannot delete entity, must {what} first"):
            await holders.delete(ACCOUNT, "user", "ci")
        await step()
    await holders.delete(ACCOUNT, "user", "ci")
    assert holders.users(ACCOUNT) == []


async def _missing(world: Any) -> list[tuple[str, Awaitable[Any]]]:
    it = world.identities
    await world.user("ci")
    await world.role("deploy", trust(ACCOUNT))
    return [
        ("The user with name no cannot be found.", it.holders.delete(ACCOUNT, "user", "no")),
        ("The role with name no cannot be found.", it.holders.delete(ACCOUNT, "role", "no")),
        ("The role with name no cannot be found.", it.holders.update_trust(ACCOUNT, "no", trust(ACCOUNT))),
        ("The user with name no cannot be found.", it.keys.create(ACCOUNT, "no", NOW)),
        ("The user with name no cannot be found.", it.logins.create(ACCOUNT, "no", "correct horse", NOW)),
        ("Login Profile for User ci cannot be found.", it.logins.update(ACCOUNT, "ci", "correct horse", NOW)),
        ("The Access Key with id AKIANO cannot be found.", it.keys.delete(ACCOUNT, "ci", "AKIANO")),
        ("The user policy with name p cannot be found.", it.holders.delete_inline(ACCOUNT, "user", "ci", "p")),
        ("The role policy with name p cannot be found.", it.holders.delete_inline(ACCOUNT, "role", "deploy", "p")),
        ("Policy arn:aws:iam::aws:policy/No does not exist or is not attachable.",
         it.holders.attach(ACCOUNT, "user", "ci", "arn:aws:iam::aws:policy/No")),
        (f"Policy {READ_ONLY} was not found.", it.holders.detach(ACCOUNT, "user", "ci", READ_ONLY)),
        ("Policy nonsense was not found.", it.managed.delete(ACCOUNT, "nonsense")),
        ("The account alias with name acme cannot be found.", it.accounts.remove_alias(ACCOUNT, "acme")),
    ]  # fmt: skip


async def test_what_is_not_there_is_said_in_iams_words(world: Any) -> None:
    """IAM API reference: NoSuchEntity and its texts."""
    for text, asked in await _missing(world):
        with pytest.raises(NoSuchEntity) as caught:
            await asked
        assert caught.value.message == text
        assert (caught.value.aws, caught.value.aws_status) == ("NoSuchEntity", 404)


# Policies.


async def test_a_user_may_do_nothing_until_a_policy_says_so(world: Any) -> None:
    """ECR.md 2.1: the account root has full access; IAM users start with none."""
    user = await world.user("ci")
    assert not may(world, user, "ecr:ListImages")
    assert may(world, world.root(), "ecr:ListImages")
    await world.identities.holders.attach(ACCOUNT, "user", "ci", READ_ONLY)
    assert may(world, user, "ecr:ListImages")
    assert not may(world, user, "ecr:PutImage")
    await world.identities.holders.put_inline(ACCOUNT, "user", "ci", "push", allow("ecr:PutImage"))
    assert may(world, user, "ecr:PutImage")
    await world.identities.holders.detach(ACCOUNT, "user", "ci", READ_ONLY)
    assert not may(world, user, "ecr:ListImages")
    await world.identities.holders.delete_inline(ACCOUNT, "user", "ci", "push")
    assert not may(world, user, "ecr:PutImage")


async def test_a_user_made_again_does_not_have_the_rights_of_the_old_one(world: Any) -> None:
    """IAM guide, "Unique identifiers": a principal is its id, not its name."""
    old = await world.user("ci")
    await world.identities.holders.delete(ACCOUNT, "user", "ci")
    new = await world.user("ci")
    await world.identities.holders.attach(ACCOUNT, "user", "ci", READ_ONLY)
    assert (may(world, old, "ecr:ListImages"), may(world, new, "ecr:ListImages")) == (False, True)
    assert world.identities.current(old, "") is None


async def test_policies_are_compiled_once_until_something_changes(world: Any) -> None:
    """`identity_policies` is on the way of each request."""
    user = await world.user("ci")
    await world.identities.holders.attach(ACCOUNT, "user", "ci", READ_ONLY)
    first = world.identities.identity_policies(user)
    assert world.identities.identity_policies(user) is first
    await world.user("other")
    again = world.identities.identity_policies(user)
    assert again is not first
    assert again[0] is first[0]


async def test_a_policy_that_cannot_be_read_any_more_denies_everything(world: Any) -> None:
    """ECR.md, issue: unknown things are never skipped when a policy is read; it might have had a Deny."""
    user = await world.user("ci")
    await world.identities.holders.attach(ACCOUNT, "user", "ci", READ_ONLY)
    await world.identities.holders.put_inline(ACCOUNT, "user", "ci", "own", allow("ecr:PutImage"))
    (_, name, body), = world.documents.all("iam.user")  # fmt: skip
    changed = body.replace(b"ecr:PutImage", b"ecr:PutWhatever")
    assert changed != body
    await world.documents.write([Edit(Registry(ACCOUNT), "iam.user", name, changed)])
    assert not may(world, user, "ecr:ListImages")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"Statement":[{"Effect":"Maybe"}]}', allow("ecr:NoSuchAction")])
async def test_a_policy_that_cannot_be_read_is_not_put(world: Any, text: str) -> None:
    """IAM: MalformedPolicyDocument."""
    await world.user("ci")
    for put in (
        world.identities.holders.put_inline(ACCOUNT, "user", "ci", "own", text),
        world.identities.managed.create(ACCOUNT, "own", text, NOW),
        world.identities.holders.create_role(ACCOUNT, "deploy", text, NOW),
    ):
        with pytest.raises(MalformedPolicyDocument):
            await put
    assert world.identities.holders.user(ACCOUNT, "ci").inline == {}


async def test_a_customers_policy_is_attached_in_its_own_account_only(world: Any) -> None:
    """RELIABILITY A11: an ARN of another account is not attachable, though it is there."""
    await world.user("ci")
    await world.user("ci", OTHER)
    made = await world.identities.managed.create(ACCOUNT, "pull", allow("ecr:ListImages"), NOW, "/team/")
    assert made.arn == f"arn:aws:iam::{ACCOUNT}:policy/team/pull"
    with pytest.raises(NoSuchEntity):
        await world.identities.holders.attach(OTHER, "user", "ci", made.arn)
    with pytest.raises(NoSuchEntity):
        await world.identities.holders.attach(ACCOUNT, "user", "ci", f"arn:aws:iam::{ACCOUNT}:policy/pull")
    await world.identities.holders.attach(ACCOUNT, "user", "ci", made.arn)
    with pytest.raises(DeleteConflict, match=r"Cannot delete a policy attached to entities\."):
        await world.identities.managed.delete(ACCOUNT, made.arn)
    assert world.identities.managed.find(ACCOUNT, made.arn).attachments == 1
    await world.identities.holders.detach(ACCOUNT, "user", "ci", made.arn)
    await world.identities.managed.delete(ACCOUNT, made.arn)


async def test_built_in_policies_are_read_and_never_deleted(world: Any) -> None:
    """arn:aws:iam::aws:policy/..."""
    assert READ_ONLY in [named.arn for named in world.identities.managed.of(ACCOUNT, "AWS")]
    assert world.identities.managed.of(ACCOUNT, "Local") == []
    assert "ecr:ListImages" in world.identities.managed.find(ACCOUNT, READ_ONLY).policy.document
    with pytest.raises(UnmodifiableEntity):
        await world.identities.managed.delete(ACCOUNT, READ_ONLY)


async def test_there_are_limits_to_what_somebody_holds(world: Any) -> None:
    """IAM quotas: two keys, twenty managed policies, 2,048 characters of inline ones."""
    await world.user("ci")
    for _ in range(2):
        await world.identities.keys.create(ACCOUNT, "ci", NOW)
    with pytest.raises(IamLimitExceeded, match="Cannot exceed quota for AccessKeysPerUser: 2"):
        await world.identities.keys.create(ACCOUNT, "ci", NOW)
    for number in range(21):
        made = await world.identities.managed.create(ACCOUNT, f"p{number}", allow("ecr:*"), NOW)
        if number == 20:
            with pytest.raises(IamLimitExceeded, match="Cannot exceed quota for PoliciesPerUser: 20"):
                await world.identities.holders.attach(ACCOUNT, "user", "ci", made.arn)
        else:
            await world.identities.holders.attach(ACCOUNT, "user", "ci", made.arn)
    long = allow("ecr:*", "arn:aws:ecr:us-east-1:123456789012:repository/" + "a" * 1_900)
    await world.identities.holders.put_inline(ACCOUNT, "user", "ci", "one", long)
    with pytest.raises(IamLimitExceeded, match="Maximum policy size of 2048 bytes exceeded for user ci"):
        await world.identities.holders.put_inline(ACCOUNT, "user", "ci", "two", long)


# Access keys.


async def test_a_key_finds_its_user_and_its_secret(world: Any) -> None:
    """SigV4 needs both."""
    user = await world.user("ci")
    key, secret = await world.identities.keys.create(ACCOUNT, "ci", NOW)
    assert key.id.startswith("AKIA")
    assert len(secret) == 40
    assert world.identities.find_key(key.id, None, NOW) == (user, secret)
    root, root_secret = await world.identities.keys.create(ACCOUNT, "", NOW)
    assert world.identities.find_key(root.id, None, NOW) == (world.root(), root_secret)


async def test_a_secret_is_kept_sealed_and_shown_nowhere(world: Any) -> None:
    """RELIABILITY G18: not in the documents, not in a repr, not in a list."""
    await world.user("ci")
    key, secret = await world.identities.keys.create(ACCOUNT, "ci", NOW)
    shown = repr(world.documents._map._bodies) + repr(key) + repr(world.identities.keys.of(ACCOUNT, "ci"))
    assert secret not in shown


async def test_a_key_that_is_off_or_unknown_is_nobodys(world: Any) -> None:
    """ECR.md 3.1: UnrecognizedClientException, 403, in the same words."""
    await world.user("ci")
    key, _ = await world.identities.keys.create(ACCOUNT, "ci", NOW)
    asked = [("AKIANOTTHERE", None), (key.id, "a token"), ("ASIANOTTHERE", None), ("ASIANOTTHERE", "AAAA"), ("", None)]
    for key_id, token in asked:
        with pytest.raises(UnrecognizedClient):
            world.identities.find_key(key_id, token, NOW)
    await world.identities.keys.switch(ACCOUNT, "ci", key.id, active=False)
    with pytest.raises(UnrecognizedClient):
        world.identities.find_key(key.id, None, NOW)
    await world.identities.keys.switch(ACCOUNT, "ci", key.id, active=True)
    assert world.identities.find_key(key.id, None, NOW)
    await world.identities.keys.delete(ACCOUNT, "ci", key.id)
    with pytest.raises(UnrecognizedClient):
        world.identities.find_key(key.id, None, NOW)


async def test_a_key_of_somebody_else_cannot_be_touched(world: Any) -> None:
    """RELIABILITY A11: an id in the input is looked up under the user that is named."""
    await world.user("a")
    await world.user("b")
    await world.user("a", OTHER)
    key, _ = await world.identities.keys.create(ACCOUNT, "a", NOW)
    for account, user in ((ACCOUNT, "b"), (OTHER, "a"), (ACCOUNT, ""), (OTHER, "")):
        with pytest.raises(NoSuchEntity):
            await world.identities.keys.delete(account, user, key.id)
        with pytest.raises(NoSuchEntity):
            await world.identities.keys.switch(account, user, key.id, active=False)
    assert world.identities.find_key(key.id, None, NOW)


async def test_a_node_with_another_master_key_knows_nobody(world: Any) -> None:
    """A broken seal is a refusal, not a crash."""
    await world.user("ci")
    key, _ = await world.identities.keys.create(ACCOUNT, "ci", NOW)
    other = Identities(world.documents, Seals(bytes(32)), Passwords(2), ACCOUNT)
    with pytest.raises(UnrecognizedClient):
        other.find_key(key.id, None, NOW)


# Passwords.


async def test_a_user_logs_in_with_its_own_password_only(world: Any) -> None:
    """RELIABILITY A23: whatever is wrong is said in the same words."""
    user = await world.user("ci")
    await world.user("without")
    await world.identities.logins.create(ACCOUNT, "ci", "correct horse", NOW)
    assert (await world.identities.logins.check(ACCOUNT, "ci", "correct horse"))[0] == user
    said = set()
    for account, name, password in (
        (ACCOUNT, "ci", "wrong"),
        (ACCOUNT, "ci", ""),
        (ACCOUNT, "nobody", "correct horse"),
        (ACCOUNT, "without", ""),
        (OTHER, "ci", "correct horse"),
    ):
        with pytest.raises(Unauthorized) as caught:
            await world.identities.logins.check(account, name, password)
        said.add(caught.value.message)
    assert len(said) == 1


@pytest.mark.parametrize("password", ["", "short", "seven77", "a" * 129, "with a\nline", "with a \0 nul", "\ud800" * 8])
async def test_a_weak_password_is_not_set(world: Any, password: str) -> None:
    """IAM's default password policy: eight characters at least; and nothing that a header cannot carry."""
    await world.user("ci")
    with pytest.raises(PasswordPolicyViolation) as caught:
        await world.identities.logins.create(ACCOUNT, "ci", password, NOW)
    assert not password or password not in caught.value.message


# Accounts.


async def test_an_account_has_one_alias_that_nobody_else_has(world: Any) -> None:
    """IAM, CreateAccountAlias: unique, and it overrides the one before."""
    accounts = world.identities.accounts
    await accounts.set_alias(ACCOUNT, "acme")
    assert accounts.find_alias("acme") == ACCOUNT
    with pytest.raises(EntityAlreadyExists, match="The account alias acme already exists"):
        await accounts.set_alias(OTHER, "acme")
    await accounts.set_alias(ACCOUNT, "acme-2")
    assert (accounts.find_alias("acme"), accounts.alias(ACCOUNT)) == (None, "acme-2")
    await accounts.remove_alias(ACCOUNT, "acme-2")
    assert (accounts.alias(ACCOUNT), accounts.find_alias("")) == ("", None)


@pytest.mark.parametrize("alias", ["", "ab", "-abc", "abc-", "a--b", "ABC", "123456789012", "a" * 64, "abc\n"])
async def test_an_alias_outside_the_grammar_is_refused(world: Any, alias: str) -> None:
    """IAM, CreateAccountAlias: lower case, digits, single hyphens, and never twelve digits."""
    with pytest.raises(IamValidationError):
        await world.identities.accounts.set_alias(ACCOUNT, alias)


async def test_an_account_is_there_once_somebody_made_it(world: Any) -> None:
    """The node's own always is."""
    assert [world.identities.accounts.exists(one) for one in (ACCOUNT, OTHER)] == [True, False]
    await world.identities.accounts.create(OTHER, NOW)
    assert world.identities.accounts.all() == [ACCOUNT, OTHER]


# The first key.


async def test_a_new_node_writes_its_first_key_where_only_its_owner_reads(world: Any, tmp_path: Path) -> None:
    """RELIABILITY A24: no default credential; AWS_SHARED_CREDENTIALS_FILE can name the file."""
    path = tmp_path / "root.credentials"
    key_id = await world.identities.ensure_root(ACCOUNT, path, NOW)
    lines = dict(line.split(" = ") for line in path.read_text().splitlines()[1:])
    assert path.read_text().startswith("[default]\n")
    assert lines["aws_access_key_id"] == key_id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert world.identities.find_key(key_id, None, NOW) == (world.root(), lines["aws_secret_access_key"])
    assert [one.name for one in tmp_path.iterdir()] == ["root.credentials"]


async def test_root_is_given_a_key_once(world: Any, tmp_path: Path) -> None:
    """Issue 3, section 1: the first start. A key that its owner has deleted since must not come back."""
    path = tmp_path / "root.credentials"
    await world.user("ci")
    await world.identities.keys.create(ACCOUNT, "ci", NOW)
    key_id = await world.identities.ensure_root(ACCOUNT, path, NOW)
    assert key_id is not None, "somebody else's key opens nothing to root"
    path.unlink()
    assert await world.identities.ensure_root(ACCOUNT, path, NOW) is None
    await world.identities.keys.delete(ACCOUNT, "", key_id)
    assert await world.identities.ensure_root(ACCOUNT, path, NOW) is None
    assert not path.exists()


async def test_root_that_has_a_key_already_is_given_no_other(world: Any, tmp_path: Path) -> None:
    """A file may declare the keys of root itself."""
    await world.identities.keys.create(ACCOUNT, "", NOW)
    assert await world.identities.ensure_root(ACCOUNT, tmp_path / "root.credentials", NOW) is None
    assert not (tmp_path / "root.credentials").exists()


async def test_a_dead_file_of_a_power_cut_is_written_over(world: Any, tmp_path: Path) -> None:
    """The file is written before the key is kept: what is there without a key opens nothing."""
    path = tmp_path / "root.credentials"
    path.write_text("[default]\naws_access_key_id = AKIADEAD\n")
    path.chmod(0o644)
    key_id = await world.identities.ensure_root(ACCOUNT, path, NOW)
    assert key_id in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# Over the store.


async def test_identities_survive_a_restart(tmp_path: Path) -> None:
    """DESIGN: the SQL commit is the acknowledgement."""
    seals = Seals(bytes(32))
    async with asyncio.TaskGroup() as tasks, open_store(tmp_path, tasks) as store:
        before = Identities(store.documents, seals, Passwords(2), ACCOUNT)
        await before.holders.create_user(ACCOUNT, "ci", NOW)
        key, secret = await before.keys.create(ACCOUNT, "ci", NOW)
    async with asyncio.TaskGroup() as tasks, open_store(tmp_path, tasks) as store:
        after = Identities(store.documents, seals, Passwords(2), ACCOUNT)
        principal, found = after.find_key(key.id, None, NOW)
        assert (principal.name, found) == ("ci", secret)


def open_store(path: Path, tasks: asyncio.TaskGroup) -> AbstractAsyncContextManager[Store]:
    return Store.open(path, lambda work, name: tasks.create_task(work, name=name), home=Registry(ACCOUNT))


def test_a_caller_is_told_who_it_is() -> None:
    """STS API reference, GetCallerIdentity: UserId of each kind."""
    user = Principal("user", ACCOUNT, "ci", "/team/", id="AIDAX")
    session = Principal("role", ACCOUNT, "deploy", session="night", id="AROAX")
    assert caller_identity(user)["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/team/ci"
    assert caller_identity(session) == {
        "UserId": "AROAX:night",
        "Account": ACCOUNT,
        "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/night",
    }
    assert ANONYMOUS.arn == "anonymous"


def test_iams_refusals_are_in_the_one_tree() -> None:
    """DESIGN: errors are one tree."""
    assert issubclass(PasswordPolicyViolation, RegistryError)
    assert issubclass(ExpiredToken, RegistryError)
