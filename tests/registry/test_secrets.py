"""Secrets of upstreams: sealed, found by name or ARN, of one registry only, never in clear on the disk."""

from pathlib import Path

import pytest
from control_calls import REGION, ControlCalls, control_calls
from registries import HOME

from mirror.aws.errors import InvalidParameter, SecretNotFound, UnableToAccessSecret, UnableToDecryptSecretValue
from mirror.oci.errors import UpstreamDenied
from mirror.oci.names import Registry
from mirror.registry.identities.seals import Seals
from mirror.registry.secrets import SECRETS_MAX, Secret, Secrets
from mirror.rules.routing import UpstreamRule
from mirror.store.documents import Edit

NAME = "ecr-pullthroughcache/hub"
OTHER = Registry("222222222222")
CANARY = "canary-access-token-5c1f"


@pytest.fixture
async def calls(tmp_path: Path):  # type: ignore[no-untyped-def]
    async with control_calls(tmp_path / "data") as opened:
        yield opened


async def test_a_secret_is_found_by_its_name_and_by_its_arn(calls: ControlCalls) -> None:
    """ECR.md 2.5: the characters at an ARN's end are AWS's; a name that has some of its own is taken as it is."""
    secrets = calls.secrets
    await secrets.put(HOME, NAME, "robot", CANARY)
    arn = secrets.arn(HOME, NAME)
    assert arn.startswith(f"arn:aws:secretsmanager:{REGION}:{HOME.account}:secret:{NAME}-")
    for credential in (NAME, arn, arn[:-7], f"{arn[:-6]}AbCdEf"):
        assert secrets.read(HOME, credential) == Secret("robot", CANARY)
    await secrets.put(HOME, f"{NAME}-abcdef", "other", "token")
    assert secrets.read(HOME, f"{arn[:-6]}abcdef").username == "other"
    assert secrets.list(HOME) == [NAME, f"{NAME}-abcdef"]


async def test_a_changed_secret_is_the_next_login(calls: ControlCalls) -> None:
    """A password is changed without a restart."""
    rule = UpstreamRule("hub", "https://registry.test", secret=NAME)
    login = calls.secrets.login(HOME, rule)
    assert login is not None
    with pytest.raises(UpstreamDenied, match="secret of upstream hub"):
        login()
    await calls.secrets.put(HOME, NAME, "robot", "one")
    assert login() == ("robot", "one")
    await calls.secrets.put(HOME, NAME, "robot", "two")
    assert login() == ("robot", "two")
    assert calls.secrets.login(HOME, UpstreamRule("hub", "https://registry.test")) is None


async def test_a_secret_is_described_and_deleted(calls: ControlCalls) -> None:
    """What a secret says is never told again."""
    await calls.secrets.put(HOME, NAME, "robot", CANARY)
    card = calls.secrets.describe(HOME, NAME)
    assert (card.name, card.arn) == (NAME, calls.secrets.arn(HOME, NAME))
    assert CANARY not in repr(card)
    await calls.secrets.delete(HOME, NAME)
    assert calls.secrets.list(HOME) == []
    for refused in (calls.secrets.describe, calls.secrets.read):
        with pytest.raises(SecretNotFound):
            refused(HOME, NAME)
    with pytest.raises(SecretNotFound):
        await calls.secrets.delete(HOME, NAME)


async def test_another_accounts_secret_is_out_of_reach(calls: ControlCalls) -> None:
    """ECR.md 2.5: same account and Region."""
    await calls.secrets.put(OTHER, NAME, "robot", CANARY)
    with pytest.raises(UnableToAccessSecret):
        calls.secrets.read(HOME, calls.secrets.arn(OTHER, NAME))
    with pytest.raises(UnableToAccessSecret):
        calls.secrets.read(HOME, calls.secrets.arn(HOME, NAME).replace(REGION, "eu-west-1"))
    with pytest.raises(SecretNotFound):
        calls.secrets.read(HOME, NAME)


async def test_a_secret_sealed_with_another_key_is_told_apart(calls: ControlCalls) -> None:
    """ECR API reference, UnableToDecryptSecretValueException."""
    stranger = Secrets(calls.store.documents, Seals(b"k" * 32), REGION)
    await stranger.put(HOME, NAME, "robot", CANARY)
    with pytest.raises(UnableToDecryptSecretValue):
        calls.secrets.read(HOME, NAME)


@pytest.mark.parametrize(
    "name",
    ["", "hub", "ecr-pullthroughcache/", "ecr-pullthroughcache/../x", f"{NAME} ", "ecr-pullthroughcache/" + "a" * 500],
)
async def test_a_name_that_ecr_would_not_take_is_refused(calls: ControlCalls, name: str) -> None:
    """ECR.md 2.5: the name starts with `ecr-pullthroughcache/`."""
    with pytest.raises(InvalidParameter):
        await calls.secrets.put(HOME, name, "robot", "token")
    with pytest.raises(InvalidParameter):
        await calls.secrets.put(HOME, calls.secrets.arn(HOME, NAME), "robot", "token")


async def test_secrets_are_bounded(calls: ControlCalls) -> None:
    """STYLE: a limit on everything; one that is there can still be changed."""
    edits = [Edit(HOME, "secret", f"{NAME}{number}", b"{}") for number in range(SECRETS_MAX)]
    await calls.store.documents.write(edits)
    with pytest.raises(InvalidParameter):
        await calls.secrets.put(HOME, NAME, "robot", "token")
    await calls.secrets.put(HOME, f"{NAME}0", "robot", "token")


async def test_no_secret_is_in_clear_on_the_disk(tmp_path: Path) -> None:
    """RELIABILITY A24 and G18: neither the database nor its log nor the index has it."""
    async with control_calls(tmp_path / "data") as opened:
        await opened.secrets.put(HOME, NAME, "robot", CANARY)
        assert opened.secrets.read(HOME, NAME).access_token == CANARY
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
