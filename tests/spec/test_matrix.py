"""The authorization matrix, RELIABILITY G16: every route, every sort of caller, what is there and what is not.

The tables are written by hand and read by the tests: a route that is not in them fails the build.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest
import pytest_asyncio
from accounts import (
    ADMIN,
    DELETER,
    DOMAIN,
    NOBODY,
    OWNER,
    PULLER,
    PUSHER,
    READ_ONLY,
    STRANGER,
    Client,
    Person,
    Town,
    populated,
)
from pushing import PushedImage, ask, code_of, image_manifest, push_image, sha256

import mirror.node.doorway
from mirror.config.settings import Home
from mirror.oci.media import OCI_MANIFEST
from mirror.rules.repositories import RepositorySettings
from mirror.web.app import App

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME: Final = "team/app"
NOWHERE: Final = "no/such"
NO_DIGEST: Final = sha256(b"nobody has this")
EMPTY: Final = sha256(b"")
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")

# Routes: of an image that is there ("here"), of a reference that is not ("gone"), of a repository that is not.
# Of referrers there is always a list (distribution-spec, "Listing Referrers": never a 404), for whom it may be told.
# A session is of a repository whether that is there or not, so a missing repository has none that were not "gone".
CALLERS: Final = [
    "anonymous",
    "nobody",
    "puller",
    "pusher",
    "deleter",
    "admin",
    "other",
    "expired",
    "revoked",
    "audience",
]
TABLE: Final = """
base      GET    here     401 200 200 200 200 200 200 403 401 401
base      HEAD   here     401 200 200 200 200 200 200 403 401 401
catalog   GET    here     401 200 200 200 200 200 200 403 401 401
catalog   HEAD   here     401 200 200 200 200 200 200 403 401 401

tags      GET    here     401 403 200 403 403 200 403 403 401 401
tags      GET    nowhere  401 403 404 403 403 404 403 403 401 401
tags      HEAD   here     401 403 200 403 403 200 403 403 401 401
tags      HEAD   nowhere  401 403 404 403 403 404 403 403 401 401

referrers GET    here     401 403 200 403 403 200 403 403 401 401
referrers GET    gone     401 403 200 403 403 200 403 403 401 401
referrers GET    nowhere  401 403 200 403 403 200 403 403 401 401
referrers HEAD   here     401 403 200 403 403 200 403 403 401 401
referrers HEAD   gone     401 403 200 403 403 200 403 403 401 401
referrers HEAD   nowhere  401 403 200 403 403 200 403 403 401 401

manifest  GET    here     401 403 200 403 403 200 403 403 401 401
manifest  GET    gone     401 403 404 403 403 404 403 403 401 401
manifest  GET    nowhere  401 403 404 403 403 404 403 403 401 401
manifest  HEAD   here     401 403 200 403 403 200 403 403 401 401
manifest  HEAD   gone     401 403 404 403 403 404 403 403 401 401
manifest  HEAD   nowhere  401 403 404 403 403 404 403 403 401 401
manifest  PUT    here     401 403 403 201 403 201 403 403 401 401
manifest  PUT    gone     401 403 403 404 403 404 403 403 401 401
manifest  PUT    nowhere  401 403 403 404 403 404 403 403 401 401
manifest  DELETE here     401 403 403 403 202 202 403 403 401 401
manifest  DELETE gone     401 403 403 403 404 404 403 403 401 401
manifest  DELETE nowhere  401 403 403 403 404 404 403 403 401 401

blob      GET    here     401 403 200 403 403 200 403 403 401 401
blob      GET    gone     401 403 404 403 403 404 403 403 401 401
blob      GET    nowhere  401 403 404 403 403 404 403 403 401 401
blob      HEAD   here     401 403 200 403 403 200 403 403 401 401
blob      HEAD   gone     401 403 404 403 403 404 403 403 401 401
blob      HEAD   nowhere  401 403 404 403 403 404 403 403 401 401
blob      DELETE here     401 403 403 403 202 202 403 403 401 401
blob      DELETE gone     401 403 403 403 404 404 403 403 401 401
blob      DELETE nowhere  401 403 403 403 404 404 403 403 401 401

uploads   POST   here     401 403 403 202 403 202 403 403 401 401
uploads   POST   nowhere  401 403 403 404 403 404 403 403 401 401

upload    GET    here     401 403 403 204 403 204 403 403 401 401
upload    GET    gone     401 403 403 404 403 404 403 403 401 401
upload    PATCH  here     401 403 403 202 403 202 403 403 401 401
upload    PATCH  gone     401 403 403 404 403 404 403 403 401 401
upload    PUT    here     401 403 403 201 403 201 403 403 401 401
upload    PUT    gone     401 403 403 404 403 404 403 403 401 401
upload    DELETE here     401 403 403 204 403 204 403 403 401 401
upload    DELETE gone     401 403 403 404 403 404 403 403 401 401
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    kind: str
    method: str
    place: str
    statuses: Mapping[str, int]

    def __str__(self) -> str:
        return f"{self.method} {self.kind} {self.place}"


def _row(line: str) -> Row:
    kind, method, place, *statuses = line.split()
    return Row(kind, method, place, dict(zip(CALLERS, map(int, statuses), strict=True)))


ROWS: Final = [_row(line) for line in TABLE.splitlines() if line]


@dataclass(frozen=True, slots=True)
class Scene:
    """A node, an image in it, and one client of each sort."""

    town: Town
    app: App
    image: PushedImage
    callers: Mapping[str, Client]

    async def path(self, kind: str, place: str) -> str:
        """Return a path of this kind; what it names is there, anew if an earlier request has taken it away."""
        name = NOWHERE if place == "nowhere" else NAME
        digest = {"here": sha256(self.image.layer)}.get(place, NO_DIGEST)
        if kind == "upload" and place == "here":
            _, headers, _ = await ask(self.callers["admin"], "POST", f"/v2/{NAME}/blobs/uploads/")
            return str(headers["Location"])
        return {
            "base": "/v2/",
            "catalog": "/v2/_catalog",
            "tags": f"/v2/{name}/tags/list",
            "referrers": f"/v2/{name}/referrers/{self.image.digest if place == 'here' else NO_DIGEST}",
            "manifest": f"/v2/{name}/manifests/{'v1' if place == 'here' else 'none'}",
            "blob": f"/v2/{name}/blobs/{digest}",
            "uploads": f"/v2/{name}/blobs/uploads/",
            "upload": f"/v2/{name}/blobs/uploads/{'0' * 32}",
        }[kind]

    async def ask(self, row: Row, client: Client) -> tuple[int, Any, bytes]:
        path, options = await self.path(row.kind, row.place), {}
        if (row.kind, row.method) == ("upload", "PUT"):
            path += f"?digest={EMPTY}"
        if (row.kind, row.method) == ("manifest", "PUT"):
            data = self.image.manifest if row.place == "here" else image_manifest(b"{}", [b"never pushed"])
            options = {"data": data, "headers": {"Content-Type": OCI_MANIFEST}}
        found = await ask(client, row.method, path, **options)
        if row.method == "DELETE" and found[0] == 202:
            await self.restore()
        return found

    async def restore(self) -> None:
        await push_image(self.callers["admin"], NAME, "v1")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    made: list[App] = []

    class Seen(App):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mirror.node.doorway, "App", Seen)
        home = Home(account=OWNER, domain=DOMAIN)
        async with populated(tmp_path_factory.mktemp("town"), home=home) as town:
            await town.house.repositories.create(town.house.settings.home, NAME, RepositorySettings(time.time()))
            image = await push_image(town.client(ADMIN), NAME, "v1")
            leaver = await town.settle(Person(OWNER, "leaver", (READ_ONLY,)))
            callers = {
                "anonymous": town.client(),
                **{name: town.client(one) for name, one in _people().items()},
                "expired": town.client(credential=town.login(ADMIN, now=time.time() - 13 * 3_600)),
                "revoked": town.client(leaver),
                "audience": town.client(credential=town.login(ADMIN, audience="ecr-public")),
            }
            await town.house.known.identities.keys.delete(OWNER, leaver.name, leaver.key_id)
            yield Scene(town, made[0], image, callers)


def _people() -> dict[str, Person]:
    return {
        "nobody": NOBODY,
        "puller": PULLER,
        "pusher": PUSHER,
        "deleter": DELETER,
        "admin": ADMIN,
        "other": STRANGER,
    }


async def test_the_table_has_every_route_of_the_router_and_no_other(scene: Scene) -> None:
    """G16: "a route missing from the table fails the build"."""
    routes = {(kind, method) for kind, methods in scene.app.steps.items() for method in methods}
    general = {(kind, method) for kind in ("base", "catalog") for method in ("GET", "HEAD")}
    assert {(row.kind, row.method) for row in ROWS} == routes | general
    assert len({(row.kind, row.method, row.place) for row in ROWS}) == len(ROWS)
    for kind in ("tags", "referrers", "manifest", "blob", "uploads"):
        for method in allowed_in_order(scene, kind):
            assert {"here", "nowhere"} <= {row.place for row in ROWS if (row.kind, row.method) == (kind, method)}


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_every_caller_is_answered_as_the_table_says(scene: Scene, row: Row) -> None:
    """G16; ECR.md 3.3: twice each, so that nothing remembered changes an answer; HEAD denials have no body."""
    found: dict[str, int] = {}
    for _ in range(2):
        for name, client in scene.callers.items():
            status, _, body = await scene.ask(row, client)
            found[name] = status
            if row.method == "HEAD":
                assert body == b"", (name, body)
            elif status == 401:
                assert body == b"Not Authorized\n", (name, body)
            elif status == 403:
                assert code_of(body) == "DENIED", (name, body)
        assert found == row.statuses


async def test_who_may_not_see_cannot_tell_what_is_there_from_what_is_not(scene: Scene) -> None:
    """RELIABILITY A7, A10, A23: the refusals of "here", "gone" and "nowhere" are equal but for the names in them."""
    for name in ("anonymous", "nobody", "deleter", "pusher", "other", "expired", "revoked", "audience"):
        for kind in ("manifest", "blob", "tags", "referrers"):
            said = set()
            for place in ("here", "gone", "nowhere"):
                path = await scene.path(kind, place)
                status, headers, body = await ask(scene.callers[name], "GET", path)
                assert status in (401, 403)
                kept = tuple(
                    (key, value)
                    for key, value in headers.items()
                    if key not in ("Date", "X-Request-ID", "Content-Length")
                )
                said.add((status, kept, body.replace(NOWHERE.encode(), b"NAME").replace(NAME.encode(), b"NAME")))
            assert len(said) == 1, (name, kind, said)


@pytest.mark.parametrize("kind", ["base", "catalog", "tags", "referrers", "manifest", "blob", "uploads", "upload"])
async def test_any_other_method_is_for_nobody(scene: Scene, kind: str) -> None:
    """G16: what is not in the table is refused, to admins too: 405 with what is allowed."""
    path = await scene.path(kind, "here")
    allowed = [row.method for row in ROWS if row.kind == kind]
    for method in METHODS:
        if method in allowed:
            continue
        for name in ("anonymous", "admin"):
            request = scene.callers[name].asking(method, path, "Connection: close")
            answer = await asyncio.wait_for(scene.town.node.raw(request), 5)
            assert answer.split(b" ")[1] == b"405", (method, answer)
            assert f"Allow: {', '.join(allowed_in_order(scene, kind))}\r\n".encode() in answer


def allowed_in_order(scene: Scene, kind: str) -> list[str]:
    steps: Mapping[str, Mapping[str, str]] = {**scene.app.steps}  # type: ignore[dict-item]
    return [*steps.get(kind, ("GET", "HEAD"))]


async def test_a_path_that_is_no_route_is_for_nobody(scene: Scene) -> None:
    """G16: closed by default, with or without a login."""
    for path in (
        "/",
        "/v1/",
        "/v2/x",
        f"/v2/{NAME}",
        f"/v2/{NAME}/manifests/",
        f"/v2/{NAME}/blobs/",
        "/api/",
        "/v2/_x",
    ):
        for name in ("anonymous", "admin"):
            status = (await ask(scene.callers[name], "GET", path))[0]
            assert status in (400, 404, 405), (path, status)
