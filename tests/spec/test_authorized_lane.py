"""The express lane for callers with credentials: the same bytes as on the normal way, for them and for nobody else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from accounts import (
    ADMIN,
    NOBODY,
    OTHER,
    OWNER,
    PULLER,
    STRANGER,
    Client,
    Person,
    Town,
    allow,
    basic,
    deny,
    host_of,
    policy,
    populated,
)
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from lanes import Lane, Wire, express_answers, lane_of, taken, warmed
from pushing import PushedImage, push_blob, push_image, sha256

from mirror.config.settings import Host
from mirror.web.express import MEMO_MAX

NAME: Final = "team/app"
LARGE: Final = bytes(range(256)) * 1024  # beyond what the index holds: sent from its file
PULLS: Final = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
EXAMPLES: Final = 120
READER: Final = Person(OWNER, "reader", inline=(allow(None, *PULLS, "ecr:BatchCheckLayerAvailability"),))
PEOPLE: Final = (NOBODY, PULLER, ADMIN, STRANGER, READER)


@dataclass(frozen=True, slots=True)
class Street:
    """A town with warm content, and its lane."""

    town: Town
    lane: Lane
    image: PushedImage
    theirs: PushedImage

    @property
    def paths(self) -> list[str]:
        base = f"/v2/{NAME}"
        blobs = [f"{base}/blobs/{sha256(data)}" for data in (self.image.layer, self.image.config, LARGE)]
        return [f"{base}/manifests/v1", f"{base}/manifests/{self.image.digest}", *blobs]

    async def both(self, *requests: bytes) -> tuple[list[bytes], list[bytes], int]:
        """Ask on one connection with the lane, and on another without; return the answers and what the lane gave."""
        before = taken()
        express = await self._asked(requests)
        count = taken() - before
        self.lane.close()
        try:
            return express, await self._asked(requests), count
        finally:
            self.lane.open()

    async def _asked(self, requests: tuple[bytes, ...]) -> list[bytes]:
        wire = await Wire.open(self.town.node)
        try:
            return [await wire.ask(request) for request in requests]
        finally:
            wire.close()


@asynccontextmanager
async def street(root: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> AsyncIterator[Street]:
    lane = lane_of(monkeypatch)
    hosts = (Host("tokens.example", login="token"), Host("open.example"))
    async with populated(root, people=PEOPLE, hosts=hosts, **options) as town:
        admin, stranger = town.client(ADMIN), town.client(STRANGER, host=host_of(OTHER))
        image, theirs = await push_image(admin, NAME, "v1", "ours"), await push_image(stranger, NAME, "v1", "theirs")
        await push_blob(admin, NAME, LARGE)
        found = Street(town, lane, image, theirs)
        for path in found.paths:
            await warmed(lane, town.node, admin.asking("GET", path))
        await warmed(lane, town.node, stranger.asking("GET", f"/v2/{NAME}/manifests/v1"))
        yield found


async def test_authorized_pulls_take_the_lane_and_are_answered_as_on_the_normal_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN section 4: every header and byte, for tokens of two people, by each form of the registry's name."""
    async with street(tmp_path, monkeypatch) as found:
        forms = (host_of(OWNER), f"{host_of(OWNER)}:5000", host_of(OWNER).upper(), "mirror", "open.example")
        for person in (ADMIN, PULLER, READER):
            for host in forms:
                client = found.town.client(person, host=host)
                for method in ("GET", "HEAD"):
                    for path in found.paths:
                        request = client.asking(method, path)
                        express, normal, count = await found.both(request, request)
                        assert express == normal, request
                        assert express[0].startswith(b"HTTP/1.1 200 OK\r\n")
                        assert count == 2, request


async def test_what_takes_a_login_is_private_to_caches_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9111 section 5.2.2: `public` is for what everybody may have; the same bytes for both sorts of callers."""
    async with street(tmp_path, monkeypatch) as found:
        await found.town.set_policy(NAME, policy(allow("*", *PULLS, "ecr:BatchCheckLayerAvailability")))
        for path in found.paths[1:]:
            for client, kept in ((found.town.client(PULLER), b"private"), (found.town.client(), b"public")):
                for method in ("GET", "HEAD"):
                    await warmed(found.lane, found.town.node, client.asking("GET", path))
                    express, normal, count = await found.both(client.asking(method, path))
                    assert (express, count) == (normal, 1)
                    assert b"\r\nCache-Control: " + kept + b", max-age=31536000, immutable\r\n" in express[0]


async def test_callers_never_get_each_others_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RELIABILITY A7: on one connection, in turns, the same path: each by the registry and the credential it says."""
    async with street(tmp_path, monkeypatch) as found:
        town, path = found.town, f"/v2/{NAME}/manifests/v1"
        cases = [
            (town.client(ADMIN), found.image.manifest),
            (town.client(STRANGER, host=host_of(OTHER)), found.theirs.manifest),
            (town.client(PULLER), found.image.manifest),
            (town.client(STRANGER), b"DENIED"),
            (town.client(NOBODY), b"DENIED"),
            (town.client(ADMIN, host=host_of(OTHER)), b"DENIED"),
            (town.client(), b"Not Authorized\n"),
            (town.client(host="mirror"), b"UNAUTHORIZED"),
            (town.client(credential=town.login(ADMIN)[:-4]), b"Not Authorized\n"),
            (town.client(credential=basic("AWS", "x")), b"Not Authorized\n"),
        ]
        wire = await Wire.open(town.node)
        before = taken()
        for shift in range(len(cases)):
            for client, wanted in cases[shift:] + cases[:shift]:
                answer = await wire.ask(client.asking("GET", path))
                assert wanted in answer, answer
                assert answer.startswith(b"HTTP/1.1 200") == (wanted in (found.image.manifest, found.theirs.manifest))
        assert taken() - before >= len(cases), "the lane was hardly taken: the test shows nothing"
        wire.close()


async def test_refusals_come_on_the_normal_way_and_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN section 4: the lane says yes or nothing."""
    async with street(tmp_path, monkeypatch) as found:
        town = found.town
        refused = [town.client(NOBODY), town.client(STRANGER), town.client(), town.client(credential="Basic %")]
        refused += [town.client(credential=town.login(ADMIN, now=1_000_000.0)), town.client(ADMIN, host=host_of(OTHER))]
        for client in refused:
            for method in ("GET", "HEAD"):
                for path in found.paths:
                    request = client.asking(method, path)
                    express, normal, count = await found.both(request, request)
                    assert (express, count) == (normal, 0), request
                    assert express[0].split(b" ")[1] in (b"401", b"403", b"404")


async def test_what_depends_on_the_request_never_takes_the_lane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """authority.py: a volatile decision holds for one request; the lane would remember it."""
    async with street(tmp_path, monkeypatch) as found:
        town, path = found.town, found.paths[0]
        local = {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}
        far = {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}
        for client, statement, wanted in (
            (town.client(NOBODY), allow(NOBODY.arn, *PULLS, Condition=local), b"200"),
            (town.client(), allow("*", *PULLS, Condition=local), b"200"),
            (town.client(PULLER), deny(PULLER.arn, *PULLS, Condition=far), b"200"),
            (town.client(PULLER), deny(PULLER.arn, *PULLS, Condition=local), b"403"),
        ):
            await town.set_policy(NAME, policy(statement))
            request = client.asking("GET", path)
            express, normal, count = await found.both(request, request, request)
            assert (express, count) == (normal, 0), statement
            assert express[0].split(b" ")[1] == wanted


async def test_passwords_and_scoped_tokens_go_the_normal_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """admission.py: a password takes a hash, a docker token's scopes are asked each time: not in the lane."""
    async with street(tmp_path, monkeypatch) as found:
        town, path = found.town, found.paths[0]
        asked = town.client(PULLER, host="tokens.example")
        async with asked.get(f"/token/?scope=repository:{NAME}:pull") as response:
            token = (await response.json())["token"]
        for client in (
            town.client(credential=basic(PULLER.name, PULLER.password)),
            town.client(host="tokens.example", credential=f"Bearer {token}"),
        ):
            express, normal, count = await found.both(client.asking("GET", path), client.asking("GET", path))
            assert (express, count) == (normal, 0)
            assert express[0].startswith(b"HTTP/1.1 200 OK\r\n")


async def test_an_address_on_which_a_step_needs_more_is_not_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ECR.md 2.1, "Action map": HEAD of a blob by who may only ask for its length, GET refused, in turns."""
    async with street(tmp_path, monkeypatch) as found:
        person = await found.town.settle(
            Person(OWNER, "asker", inline=(allow(None, "ecr:BatchCheckLayerAvailability"),))
        )
        client, path = found.town.client(person), found.paths[2]
        head, get = client.asking("HEAD", path), client.asking("GET", path)
        express, normal, count = await found.both(head, get, head, get)
        assert express == normal
        assert [one.split(b" ")[1] for one in express] == [b"200", b"403", b"200", b"403"]
        assert count == 2


async def test_the_lanes_memory_has_a_bound_whatever_callers_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RELIABILITY A1: as many credentials, hosts and paths as anybody likes to make up; and the lane still works."""
    async with street(tmp_path, monkeypatch) as found:
        monkeypatch.setattr("mirror.web.express.MEMO_MAX", 64)
        assert MEMO_MAX >= 64
        wire, path = await Wire.open(found.town.node), found.paths[0]
        good = found.town.client(ADMIN).asking("GET", path)
        express = found.lane.express
        memos = (express.remembered, express._blocks, express._targets, express._heads)
        for number in range(400):
            made_up = found.town.client(host="open.example", credential=basic("AWS", f"x{number}"))
            await wire.ask(made_up.asking("GET", path))
            await wire.ask(found.town.client(ADMIN, host=f"h{number}").asking("GET", path, f"Accept: a/{number}"))
            assert max(len(memo) for memo in memos) <= 64
        assert (await express_answers(wire, good))[0] == 200
        assert await express_answers(wire, good) == (200, 1)
        wire.close()


clients = st.sampled_from(["admin", "puller", "reader", "stranger", "nobody", "anonymous", "junk", "other"])


async def test_generated_conversations_are_answered_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN section 4: the same conversations of mixed callers down both lanes, with rights that change between."""
    requests = st.tuples(clients, st.sampled_from(["GET", "HEAD"]), st.integers(0, 4))
    conversations = st.tuples(st.sampled_from(["", "open", "deny"]), st.lists(requests, min_size=1, max_size=6))
    drawn: list[tuple[str, list[tuple[str, str, int]]]] = []

    def note(conversation: tuple[str, list[tuple[str, str, int]]]) -> None:
        drawn.append(conversation)

    settings(max_examples=EXAMPLES, database=None, phases=[Phase.generate])(given(conversations)(note))()
    counts = 0
    async with street(tmp_path, monkeypatch) as found:
        town = found.town
        callers: dict[str, Client] = {
            "admin": town.client(ADMIN),
            "puller": town.client(PULLER),
            "reader": town.client(READER, host="mirror"),
            "stranger": town.client(STRANGER),
            "nobody": town.client(NOBODY),
            "anonymous": town.client(),
            "junk": town.client(credential="Basic x"),
            "other": town.client(STRANGER, host=host_of(OTHER)),
        }
        rights = {"": "", "open": policy(allow("*", *PULLS)), "deny": policy(deny(PULLER.arn, *PULLS))}
        for right, conversation in drawn:
            await town.set_policy(NAME, rights[right])
            packets = [callers[who].asking(method, found.paths[at]) for who, method, at in conversation]
            express, normal, count = await found.both(*packets)
            assert express == normal, (right, conversation)
            counts += count
    assert counts > EXAMPLES / 2, "the lane was hardly ever taken: the test shows nothing"
