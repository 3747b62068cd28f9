"""The administration socket: who may, in whose name, and what it keeps to itself."""

import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from administering import Administered, administered
from registries import HOME

from mirror.cli.socket import Refused, reached
from mirror.oci.errors import Denied
from mirror.oci.names import Registry
from mirror.web.admin_socket import check_peer, near, open_socket

OTHER = "111122223333"
CANARY = "canary-5e0d"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Administered]:
    async with administered(tmp_path / "data") as house:
        yield house


async def test_iam_is_asked_without_a_signature_as_root(house: Administered) -> None:
    """ECR.md 3.1 asks for signatures; who can open the socket could read the store."""
    async with reached(house.path) as node:
        made = await node.iam("CreateUser", UserName="ci")
        assert made["User"]["Arn"] == f"arn:aws:iam::{HOME.account}:user/ci"
        assert house.identities.find_user(HOME.account, "ci") is not None
        assert (await node.iam("GetUser"))["User"]["Arn"] == f"arn:aws:iam::{HOME.account}:root"


async def test_the_registry_is_asked_without_a_signature(house: Administered) -> None:
    async with reached(house.path) as node:
        made = await node.ecr("CreateRepository", repositoryName="team/app")
        assert made["repository"]["registryId"] == HOME.account
        with pytest.raises(Refused, match=r"^RepositoryAlreadyExistsException: "):
            await node.ecr("CreateRepository", repositoryName="team/app")


async def test_another_account_is_named_by_a_header_and_must_be_there(house: Administered) -> None:
    """`X-Mirror-Account`: a typing error makes no registry that nobody knows of."""
    async with reached(house.path, OTHER) as node:
        with pytest.raises(Refused, match=f"There is no account {OTHER}"):
            await node.iam("CreateUser", UserName="ci")
        await node.own("accounts", "create", account=OTHER)
        assert (await node.iam("CreateUser", UserName="ci"))["User"]["Arn"] == f"arn:aws:iam::{OTHER}:user/ci"
        listed = (await node.own("accounts", "list"))["accounts"]
    assert listed == [{"account": HOME.account, "alias": ""}, {"account": OTHER, "alias": ""}]
    assert house.identities.find_user(HOME.account, "ci") is None


@pytest.mark.parametrize("account", ["12345", "\u0660" * 12, "1" * 13])
async def test_an_account_is_twelve_digits(house: Administered, account: str) -> None:
    async with reached(house.path) as node:
        with pytest.raises(Refused, match="InvalidParameterException: An account is twelve digits"):
            await node.own("accounts", "create", account=account)


async def test_secrets_are_put_listed_and_deleted_and_never_shown(house: Administered) -> None:
    """ECR.md 2.5: credentials of upstreams."""
    name = "ecr-pullthroughcache/hub"
    async with reached(house.path) as node:
        await node.own("secrets", "put", name=name, username="bot", password=CANARY)
        kept = house.secrets.read(HOME, name)
        assert (kept.username, kept.access_token) == ("bot", CANARY)
        (shown,) = (await node.own("secrets", "list"))["secrets"]
        assert sorted(shown) == ["arn", "changedAt", "name"]
        assert house.secrets.read(HOME, shown["arn"]) == kept
        await node.own("secrets", "delete", name=name)
        with pytest.raises(Refused, match="SecretNotFoundException"):
            await node.own("secrets", "delete", name=name)


async def test_a_password_is_set_whether_or_not_there_was_one(house: Administered) -> None:
    """IAM has two operations for it; an operator means one thing."""
    async with reached(house.path) as node:
        await node.iam("CreateUser", UserName="ann")
        for password in ("correct horse 1", "correct horse 2"):
            await node.own("passwords", "set", user="ann", password=password)
            principal, _ = await house.identities.logins.check(HOME.account, "ann", password)
            assert principal.name == "ann"
        await node.own("passwords", "remove", user="ann")
        with pytest.raises(Refused, match="Login Profile for User ann cannot be found"):
            await node.own("passwords", "remove", user="ann")
        with pytest.raises(Refused, match="NoSuchEntity"):
            await node.own("passwords", "set", user="nobody", password="correct horse 3")


async def test_what_is_done_is_recorded_and_no_secret_with_it(house: Administered, events: list[Any]) -> None:
    """RELIABILITY G18; ECR.md 6.2."""
    async with reached(house.path) as node:
        await node.iam("CreateUser", UserName="ann")
        await node.own("passwords", "set", user="ann", password=CANARY)
        await node.own("secrets", "put", name="ecr-pullthroughcache/hub", username="bot", password=CANARY)
        key = (await node.iam("CreateAccessKey", UserName="ann"))["AccessKey"]
        await node.own("secrets", "list")
        with pytest.raises(Refused):
            await node.own("passwords", "set", user="nobody", password=CANARY)
    records = [event["record"] for event in events if event["event"] == "audit"]
    assert [(one["eventSource"], one["eventName"], one.get("errorCode")) for one in records] == [
        ("iam.amazonaws.com", "CreateUser", None),
        ("iam.amazonaws.com", "UpdateLoginProfile", None),
        ("secretsmanager.amazonaws.com", "PutSecretValue", None),
        ("iam.amazonaws.com", "CreateAccessKey", None),
        ("iam.amazonaws.com", "UpdateLoginProfile", "NoSuchEntity"),
    ]
    assert all(one["userIdentity"]["type"] == "Root" for one in records)
    assert records[1]["resources"] == [{"ARN": f"arn:aws:iam::{HOME.account}:user/ann", "accountId": HOME.account}]
    assert CANARY not in str(events)
    assert key["SecretAccessKey"] not in str(events)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/", b""),
        ("POST", "/v2/", b""),
        ("POST", "/secrets/put", b"{}"),
        ("POST", "/secrets", b""),
        ("POST", "/secrets", b'{"operation": "burn"}'),
        ("POST", "/secrets", b'{"operation": "put", "name": "x", "username": "y", "password": {"z": "canary-5e0d"}}'),
        ("POST", "/secrets", b'{"operation": "list", "extra": "canary-5e0d"}'),
        ("POST", "/passwords", b'{"operation": "set", "user": "ann", "password": "canary-5e0d'),
        ("POST", "/secrets", b"x" * 70_000),
    ],
)
async def test_what_cannot_be_meant_is_refused_and_not_repeated(
    house: Administered, method: str, path: str, body: bytes
) -> None:
    """A refusal says where it is wrong, never what stood there: it may be a password."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(house.path))) as session,
        session.request(method, f"http://node{path}", data=body) as response,
    ):
        assert response.status in (400, 413)
        assert (await response.json(content_type=None))["__type"]
        assert CANARY not in await response.text()


async def test_the_socket_is_its_owners_alone(house: Administered) -> None:
    """Mode 0600 from its first moment; the other side's user is asked of the kernel besides."""
    assert stat.S_IMODE(house.path.lstat().st_mode) == 0o600


class Peer:
    """A transport over a socket of ours, whose other side the kernel knows."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def get_extra_info(self, name: str) -> Any:
        return self._sock if name == "socket" else None


class Stranger:
    """What the kernel would say of a socket that another user opened."""

    family = socket.AF_UNIX

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option, size) == (socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return b"".join(number.to_bytes(4, "little") for number in (1, os.geteuid() + 1, 0))


def test_only_this_user_and_root_are_let_in() -> None:
    """unix(7), SO_PEERCRED."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        check_peer(Peer(ours))
    with pytest.raises(Denied, match="is not the node's"):
        check_peer(Peer(Stranger()))


def test_a_port_is_no_administration_socket() -> None:
    with socket.socket() as sock, pytest.raises(Denied):
        check_peer(Peer(sock))
    with pytest.raises(Denied):
        check_peer(None)


def test_a_dead_nodes_socket_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    """A crash leaves the name behind; what is no socket is somebody's."""
    for _ in range(2):
        open_socket(tmp_path / "admin.sock").close()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Address already in use"):
        open_socket(tmp_path / "file")
    assert (tmp_path / "file").is_file()


async def test_a_root_may_lie_deeper_than_a_socket_address_is_long(tmp_path: Path) -> None:
    """unix(7): sun_path has 108 bytes; storage roots may have more."""
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    async with administered(deep) as house, reached(house.path) as node:
        assert (await node.own("accounts", "list"))["accounts"]
    with near(Path("/short/admin.sock")) as address:
        assert address == "/short/admin.sock"


async def test_two_registries_have_their_own_secrets(house: Administered) -> None:
    async with reached(house.path) as node:
        await node.own("accounts", "create", account=OTHER)
    async with reached(house.path, OTHER) as node:
        await node.own("secrets", "put", name="ecr-pullthroughcache/a", username="u", password="p")
    assert house.secrets.list(Registry(OTHER)) == ["ecr-pullthroughcache/a"]
    assert house.secrets.list(HOME) == []
