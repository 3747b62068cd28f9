"""Declared identities: a file is made so, again and again, and what was made by API is left alone."""

from dataclasses import replace
from typing import Any

import pytest

from mirror.aws.errors import EntityAlreadyExists, UnmodifiableEntity, UnrecognizedClient
from mirror.oci.errors import Unauthorized
from mirror.registry.identities import Credential, Reconciled, reconcile
from mirror.rules.identities import (
    Declared,
    DeclaredAccount,
    DeclaredKey,
    DeclaredPolicy,
    DeclaredRole,
    DeclaredUser,
)

ACCOUNT = "123456789012"
OTHER = "210987654321"
NOW = 1_800_000_000.0
EMPTY = '{"Version":"2012-10-17","Statement":[]}'
TRUST = '{"Statement":{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}}'
PULL = f"arn:aws:iam::{ACCOUNT}:policy/pull"
POWER_USER = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser"

CI = DeclaredUser(ACCOUNT, "ci", (DeclaredKey("AKIACI", "secret-of-ci"),), "correct horse", (POWER_USER, PULL))
ROOT = DeclaredUser(ACCOUNT, "root", (DeclaredKey("AKIAROOT", "secret-of-root"),))
DEPLOY = DeclaredRole(ACCOUNT, "deploy", TRUST, (PULL,), {"own": EMPTY})
POLICY = DeclaredPolicy(ACCOUNT, "pull", EMPTY)
ALL = Declared((DeclaredAccount(ACCOUNT, "acme"),), (CI, ROOT), (DEPLOY,), (POLICY,))


async def declare(world: Any, declared: Declared) -> Reconciled:
    return await reconcile(world.identities, world.passwords, declared, NOW)


def counts(done: Reconciled) -> tuple[int, int]:
    return len(done.written), len(done.removed)


async def test_what_a_file_declares_is_there(world: Any) -> None:
    """Accounts, users with keys, passwords and policies, roles, policies: in one write."""
    before = world.documents.writes
    assert counts(await declare(world, ALL)) == (6, 0)
    assert world.documents.writes - before == 1
    principal, secret = world.identities.find_key("AKIACI", None, NOW)
    assert (principal.name, secret) == ("ci", "secret-of-ci")
    assert world.identities.find_key("AKIAROOT", None, NOW) == (world.root(), "secret-of-root")
    assert (await world.identities.logins.check(ACCOUNT, "ci", "correct horse"))[0] == principal
    assert len(world.identities.identity_policies(principal)) == 2
    assert world.identities.holders.role(ACCOUNT, "deploy").inline == {"own": EMPTY}
    assert world.identities.accounts.find_alias("acme") == ACCOUNT
    assert [key.id for key in world.identities.keys.of(ACCOUNT, "")] == ["AKIAROOT"]


async def test_the_same_file_again_changes_nothing(world: Any) -> None:
    """A restart writes nothing, and what was issued lives on: same ids, same password, same seals."""
    await declare(world, ALL)
    user, credential = await world.identities.logins.check(ACCOUNT, "ci", "correct horse")
    text = world.tokens.issue_bearer(user, credential, "host", None, NOW).text
    assert counts(await declare(world, ALL)) == (0, 0)
    assert world.tokens.verify_bearer(text, "host", NOW).principal == user


async def test_what_has_changed_in_the_file_changes_here(world: Any) -> None:
    """A new secret, a new password, other policies; the user stays the same user."""
    await declare(world, ALL)
    user, credential = await world.identities.logins.check(ACCOUNT, "ci", "correct horse")
    text = world.tokens.issue_bearer(user, credential, "host", None, NOW).text
    changed = replace(CI, keys=(DeclaredKey("AKIACI", "another"),), password="battery staple", attached=())
    assert counts(await declare(world, replace(ALL, users=(changed, ROOT)))) == (2, 0)
    assert world.identities.find_key("AKIACI", None, NOW) == (user, "another")
    assert world.identities.identity_policies(user) == ()
    with pytest.raises(Unauthorized):
        world.tokens.verify_bearer(text, "host", NOW)
    with pytest.raises(Unauthorized):
        await world.identities.logins.check(ACCOUNT, "ci", "correct horse")


async def declared_again(world: Any, declared: Declared) -> None:
    """As after a restart an hour later."""
    await reconcile(world.identities, world.passwords, declared, NOW + 3_600)


@pytest.mark.parametrize(
    "keys_of",
    [
        {"ci": DeclaredKey("AKIACI", "another-secret"), "robot": DeclaredKey("AKIAROBOT", "r")},
        {"ci": DeclaredKey("AKIAOTHER", "o"), "robot": DeclaredKey("AKIACI", "secret-of-ci")},
    ],
)
async def test_what_hangs_on_a_declared_key_ends_when_it_changes(world: Any, keys_of: dict[str, DeclaredKey]) -> None:
    """RELIABILITY A21: another secret, or another owner, is another key."""
    robot = DeclaredUser(ACCOUNT, "robot")
    await declare(world, Declared(users=(replace(CI, attached=()), robot)))
    user, _ = world.identities.find_key("AKIACI", None, NOW)
    token = world.tokens.issue_login(user, world.identities.credential("AKIACI"), "ecr", NOW).text
    assert world.tokens.verify_login(token, ("ecr",), NOW).principal == user
    users = tuple(DeclaredUser(ACCOUNT, name, (key,)) for name, key in keys_of.items())
    await declared_again(world, Declared(users=users))
    assert world.identities.find_user(ACCOUNT, "ci").id == user.id
    with pytest.raises(Unauthorized):
        world.tokens.verify_login(token, ("ecr",), NOW)


async def test_what_the_file_no_longer_declares_is_taken_away(world: Any) -> None:
    """Users, keys, roles, policies, alias; their tokens with them."""
    await declare(world, ALL)
    user, _ = world.identities.find_key("AKIACI", None, NOW)
    text = world.tokens.issue_bearer(user, Credential(), "host", None, NOW).text
    done = await declare(world, Declared())
    assert counts(done) == (0, 6)
    assert f"User {ACCOUNT}/ci" in done.removed
    for key_id in ("AKIACI", "AKIAROOT"):
        with pytest.raises(UnrecognizedClient):
            world.identities.find_key(key_id, None, NOW)
    with pytest.raises(Unauthorized):
        world.tokens.verify_bearer(text, "host", NOW)
    assert world.identities.accounts.find_alias("acme") is None
    assert all(world.documents.all(kind) == [] for kind in ("iam.user", "iam.role", "iam.key", "iam.policy"))


async def test_what_was_made_by_api_is_left_alone(world: Any, tmp_path: Any) -> None:
    """The file takes away what it gave, and nothing else."""
    await world.user("api")
    key, secret = await world.identities.keys.create(ACCOUNT, "api", NOW)
    root, root_secret = await world.identities.keys.create(ACCOUNT, "", NOW)
    for declared in (ALL, Declared()):
        await declare(world, declared)
        assert world.identities.find_key(key.id, None, NOW)[1] == secret
        assert world.identities.find_key(root.id, None, NOW) == (world.root(), root_secret)
    assert [one.id for one in world.identities.keys.of(ACCOUNT, "")] == [root.id]


async def test_a_policy_that_is_taken_away_is_detached_from_everybody(world: Any) -> None:
    """Else the next policy of its name would be theirs by surprise."""
    user = await world.user("api")
    await declare(world, ALL)
    await world.identities.holders.attach(ACCOUNT, "user", "api", PULL)
    await declare(world, Declared())
    assert world.identities.holders.user(ACCOUNT, "api").attached == ()
    assert world.identities.identity_policies(user) == ()


@pytest.mark.parametrize("declared", [replace(ALL, users=(replace(CI, keys=()),)), ALL])
async def test_a_name_that_the_api_gave_cannot_be_declared(world: Any, declared: Declared) -> None:
    """Neither takes the other's over; nothing of the file is made."""
    await world.user("ci")
    with pytest.raises(EntityAlreadyExists, match="User ci of account 123456789012 is declared in a file"):
        await declare(world, declared)
    assert world.documents.all("iam.role") == []


async def test_a_declared_entity_is_changed_in_its_file_only(world: Any) -> None:
    """IAM: UnmodifiableEntity."""
    await declare(world, ALL)
    it = world.identities
    for change in (
        it.holders.delete(ACCOUNT, "user", "ci"),
        it.holders.delete(ACCOUNT, "role", "deploy"),
        it.holders.update_trust(ACCOUNT, "deploy", TRUST),
        it.holders.put_inline(ACCOUNT, "user", "ci", "own", EMPTY),
        it.holders.delete_inline(ACCOUNT, "role", "deploy", "own"),
        it.holders.attach(ACCOUNT, "user", "ci", POWER_USER),
        it.holders.detach(ACCOUNT, "user", "ci", POWER_USER),
        it.keys.create(ACCOUNT, "ci", NOW),
        it.keys.delete(ACCOUNT, "ci", "AKIACI"),
        it.keys.switch(ACCOUNT, "ci", "AKIACI", active=False),
        it.keys.delete(ACCOUNT, "", "AKIAROOT"),
        it.logins.update(ACCOUNT, "ci", "battery staple", NOW),
        it.logins.delete(ACCOUNT, "ci"),
        it.managed.delete(ACCOUNT, PULL),
        it.accounts.set_alias(ACCOUNT, "other"),
        it.accounts.remove_alias(ACCOUNT, "acme"),
    ):
        with pytest.raises(UnmodifiableEntity):
            await change
    assert counts(await declare(world, ALL)) == (0, 0)


async def test_an_account_is_there_because_a_user_of_it_is_declared(world: Any) -> None:
    """`[[account]]` is for its alias; a user's account needs no table of its own."""
    await declare(world, Declared(users=(replace(CI, account=OTHER, attached=()),)))
    assert world.identities.accounts.exists(OTHER)
    await declare(world, Declared())
    assert not world.identities.accounts.exists(OTHER)


async def test_a_key_can_move_to_another_user(world: Any) -> None:
    """Its id is the file's to give."""
    await declare(world, ALL)
    moved = DeclaredUser(ACCOUNT, "robot", CI.keys)
    await declare(world, Declared(users=(moved,)))
    assert world.identities.find_key("AKIACI", None, NOW)[0].name == "robot"


async def test_no_declared_secret_is_kept_in_the_clear(world: Any) -> None:
    """RELIABILITY G18."""
    await declare(world, ALL)
    kept = repr(world.documents._map._bodies)
    assert not any(secret in kept for secret in ("secret-of-ci", "secret-of-root", "correct horse"))
