"""Sessions: who may assume a role, for how long, and what ends a session early."""

import json
from typing import Any

import pytest

from mirror.aws.errors import ExpiredToken, IamValidationError, UnrecognizedClient
from mirror.aws.principals import Principal
from mirror.registry.identities import Assumption
from mirror.registry.identities.sessions import SESSION_PREFIX
from mirror.rules.identities import StsAccessDenied

ACCOUNT = "123456789012"
OTHER = "210987654321"
NOW = 1_800_000_000.0
ASSUME = "sts:AssumeRole"


def document(effect: str, who: object = None, condition: object = None, resource: str = "*") -> str:
    statement: dict[str, object] = {"Effect": effect, "Action": ASSUME}
    statement |= {"Resource": resource} if who is None else {"Principal": who}
    if condition is not None:
        statement["Condition"] = condition
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def user_arn(account: str, name: str = "ci") -> dict[str, str]:
    return {"AWS": f"arn:aws:iam::{account}:user/{name}"}


def account_arn(account: str) -> dict[str, str]:
    return {"AWS": f"arn:aws:iam::{account}:root"}


async def assumes(world: Any, principal: Principal, arn: str, **more: Any) -> bool:
    try:
        world.identities.assume_role(principal, "", Assumption(arn, "work", **more), NOW)
    except StsAccessDenied as error:
        assert error.message == f"User: {principal.arn} is not authorized to perform: {ASSUME} on resource: {arn}"
        assert (error.aws, error.aws_status) == ("AccessDenied", 403)
        return False
    return True


ALLOWS = document("Allow")
DENIES = document("Deny")


@pytest.mark.parametrize(
    ("account", "who", "own", "allowed"),
    [
        (ACCOUNT, user_arn(ACCOUNT), None, True),  # named itself, at home: enough
        (ACCOUNT, user_arn(ACCOUNT), DENIES, False),
        (ACCOUNT, account_arn(ACCOUNT), None, False),  # its account only: its own policy is asked too
        (ACCOUNT, account_arn(ACCOUNT), ALLOWS, True),
        (ACCOUNT, {"AWS": ACCOUNT}, ALLOWS, True),
        (ACCOUNT, user_arn(ACCOUNT, "other"), ALLOWS, False),  # the trust policy means somebody else
        (ACCOUNT, account_arn(OTHER), ALLOWS, False),
        (OTHER, user_arn(OTHER), None, False),  # from another account both sides must say yes
        (OTHER, user_arn(OTHER), ALLOWS, True),
        (OTHER, account_arn(OTHER), ALLOWS, True),
        (OTHER, account_arn(OTHER), None, False),
        (OTHER, account_arn(ACCOUNT), ALLOWS, False),
        (OTHER, {"AWS": "*"}, ALLOWS, True),
        (OTHER, {"AWS": "*"}, None, False),
        (ACCOUNT, {"Service": "ec2.amazonaws.com"}, ALLOWS, False),
    ],
)
async def test_a_role_is_assumed_by_whom_both_sides_mean(
    world: Any, account: str, who: object, own: str | None, allowed: bool
) -> None:
    """IAM guide, "Cross-account policy evaluation logic" and "Role trust policies"."""
    user = await world.user("ci", account)
    arn = await world.role("deploy", document("Allow", who))
    if own:
        await world.identities.holders.put_inline(account, "user", "ci", "own", own)
    assert await assumes(world, user, arn) is allowed


async def test_a_trust_policy_can_want_an_external_id(world: Any) -> None:
    """STS, AssumeRole: ExternalId, against the confused deputy."""
    user = await world.user("ci")
    wanted = {"StringEquals": {"sts:ExternalId": "s3cret"}}
    arn = await world.role("deploy", document("Allow", user_arn(ACCOUNT), wanted))
    assert not await assumes(world, user, arn)
    assert not await assumes(world, user, arn, external_id="other")
    assert await assumes(world, user, arn, external_id="s3cret")


async def test_a_role_that_is_not_there_is_refused_in_the_same_words(world: Any) -> None:
    """RELIABILITY A23: nobody learns which roles there are."""
    user = await world.user("ci")
    arn = await world.role("deploy", document("Allow", user_arn(ACCOUNT, "other")), path="/team/")
    for other in (arn, f"{arn}x", f"arn:aws:iam::{ACCOUNT}:role/deploy", f"arn:aws:iam::{OTHER}:role/team/deploy",
                  f"arn:aws:iam::{ACCOUNT}:user/ci", "nonsense", "", "arn:aws:iam:::role/x"):  # fmt: skip
        assert not await assumes(world, user, other)


async def test_a_user_made_again_is_not_the_one_that_was_trusted(world: Any) -> None:
    """A session of somebody who is gone is nobody's."""
    user = await world.user("ci")
    arn = await world.role("deploy", document("Allow", account_arn(ACCOUNT)))
    await world.identities.holders.delete(ACCOUNT, "user", "ci")
    await world.user("ci")
    await world.identities.holders.put_inline(ACCOUNT, "user", "ci", "own", ALLOWS)
    assert not await assumes(world, user, arn)


async def test_root_assumes_no_role(world: Any) -> None:
    """STS, AssumeRole: it cannot be called by root."""
    arn = await world.role("deploy", document("Allow", account_arn(ACCOUNT)))
    with pytest.raises(StsAccessDenied, match="Roles may not be assumed by root accounts"):
        world.identities.assume_role(world.root(), "", Assumption(arn, "work"), NOW)


@pytest.mark.parametrize("name", ["", "a", "a" * 65, "a b", "a/b", "n\u00e4me", "ab\n", "a:b", "\u0661\u0662"])
async def test_a_session_name_outside_the_grammar_is_refused(world: Any, name: str) -> None:
    r"""STS, AssumeRole: RoleSessionName, [\w+=,.@-]{2,64} in ASCII."""
    user = await world.user("ci")
    arn = await world.role("deploy", document("Allow", user_arn(ACCOUNT)))
    with pytest.raises(IamValidationError):
        world.identities.assume_role(user, "", Assumption(arn, name), NOW)


async def test_a_session_lasts_as_long_as_its_role_allows(world: Any) -> None:
    """STS, AssumeRole: DurationSeconds, 900 to MaxSessionDuration, an hour where nothing is said."""
    user = await world.user("ci")
    arn = await world.role("deploy", document("Allow", user_arn(ACCOUNT)), max_session_s=7_200)
    assume = world.identities.assume_role
    for asked, lasts in ((None, 3_600), (900, 900), (7_200, 7_200)):
        assert assume(user, "", Assumption(arn, "work", asked), NOW).expires_at == NOW + lasts
    for asked in (0, -1, 899, 7_201):
        with pytest.raises(IamValidationError):
            assume(user, "", Assumption(arn, "work", asked), NOW)


async def test_a_chained_session_lasts_an_hour(world: Any) -> None:
    """IAM guide, "Role chaining": an hour at most, whatever the role says."""
    user = await world.user("ci")
    first = await world.role("first", document("Allow", user_arn(ACCOUNT)))
    trusted = {"AWS": f"arn:aws:iam::{ACCOUNT}:role/first"}
    second = await world.role("second", document("Allow", trusted), max_session_s=43_200)
    key, _ = await world.identities.keys.create(ACCOUNT, "ci", NOW)
    session = world.identities.assume_role(user, key.id, Assumption(first, "one"), NOW)
    principal, _ = world.identities.find_key(session.key_id, session.token, NOW)
    with pytest.raises(IamValidationError, match="1 hour session limit for roles assumed by role chaining"):
        world.identities.assume_role(principal, session.key_id, Assumption(second, "two", 3_601), NOW)
    chained = world.identities.assume_role(principal, session.key_id, Assumption(second, "two", 3_600), NOW)
    assert chained.principal.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/second/two"
    await world.identities.keys.switch(ACCOUNT, "ci", key.id, active=False)
    with pytest.raises(UnrecognizedClient):
        world.identities.find_key(chained.key_id, chained.token, NOW)


async def opened(world: Any) -> tuple[Any, Any, Any]:
    user = await world.user("ci")
    key, _ = await world.identities.keys.create(ACCOUNT, "ci", NOW)
    arn = await world.role("deploy", document("Allow", user_arn(ACCOUNT)))
    return user, key, world.identities.assume_role(user, key.id, Assumption(arn, "work"), NOW)


async def test_a_session_signs_as_its_role_until_it_expires(world: Any) -> None:
    """ECR.md 3.1: ExpiredTokenException, 403."""
    _, _, session = await opened(world)
    assert session.key_id.startswith(SESSION_PREFIX)
    found = world.identities.find_key(session.key_id, session.token, NOW + 3_599)
    assert found == (session.principal, session.secret)
    with pytest.raises(ExpiredToken):
        world.identities.find_key(session.key_id, session.token, NOW + 3_600)


async def test_a_session_ends_with_its_role_and_with_the_key_it_came_from(world: Any) -> None:
    """RELIABILITY A21: the next request is refused."""
    _, key, session = await opened(world)
    await world.identities.keys.switch(ACCOUNT, "ci", key.id, active=False)
    with pytest.raises(UnrecognizedClient):
        world.identities.find_key(session.key_id, session.token, NOW)
    await world.identities.keys.switch(ACCOUNT, "ci", key.id, active=True)
    assert world.identities.find_key(session.key_id, session.token, NOW)
    await world.identities.holders.delete(ACCOUNT, "role", "deploy")
    await world.role("deploy", document("Allow", user_arn(ACCOUNT)))
    with pytest.raises(UnrecognizedClient):
        world.identities.find_key(session.key_id, session.token, NOW)


async def test_a_session_token_opens_with_its_own_key_id_only(world: Any) -> None:
    """What was sealed for one session is no other's; a changed or foreign token is nobody's."""
    user, key, session = await opened(world)
    other = world.identities.session_token(user, key.id, None, NOW)
    world.identities._sessions._opened.clear()
    flipped = ("B" if session.token[30] != "B" else "C").join((session.token[:30], session.token[31:]))
    for key_id, token in (
        (other.key_id, session.token),
        (session.key_id, other.token),
        (session.key_id, flipped),
        (session.key_id, session.token[:-4]),
        (session.key_id, session.token + "\n"),
        (session.key_id, "A" * 1_000_000),
        (session.key_id, "\u0661"),
        (session.key_id, None),
    ):
        with pytest.raises(UnrecognizedClient):
            world.identities.find_key(key_id, token, NOW)
    assert world.identities.find_key(session.key_id, session.token, NOW)


async def test_a_user_gets_a_session_of_itself(world: Any) -> None:
    """STS, GetSessionToken: 12 h, 15 min to 36 h; root an hour at most; a session gets none."""
    user, key, session = await opened(world)
    give = world.identities.session_token
    assert give(user, key.id, None, NOW).expires_at == NOW + 43_200
    assert give(user, key.id, 129_600, NOW).expires_at == NOW + 129_600
    assert give(world.root(), "", None, NOW).expires_at == NOW + 3_600
    own = give(user, key.id, 900, NOW)
    assert world.identities.find_key(own.key_id, own.token, NOW)[0] == user
    for principal, key_id in ((session.principal, session.key_id), (user, own.key_id)):
        with pytest.raises(StsAccessDenied):
            give(principal, key_id, None, NOW)
    for asked in (899, 129_601):
        with pytest.raises(IamValidationError):
            give(user, key.id, asked, NOW)


async def test_no_repr_shows_a_sessions_secrets(world: Any) -> None:
    """RELIABILITY G18."""
    _, _, session = await opened(world)
    assert session.secret not in repr(session)
    assert session.token not in repr(session)
