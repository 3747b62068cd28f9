"""Replication between regions: two nodes, real sockets, one access key. What goes is what the peer does not have."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from accounts import ADMIN, DOMAIN, OTHER, OWNER, REGION, STRANGER, Client, Person, Town, allow, policy, populated
from ports import free_port
from pushing import PushedImage, image_manifest, index_manifest, push_blob, push_image, put_manifest, sha256

from mirror.config.settings import Home, Region
from mirror.jobs.replication import Pace
from mirror.oci.digest import parse_digest
from mirror.oci.media import OCI_INDEX
from mirror.upstream import peer
from mirror.upstream.push_wire import Body, Request
from mirror.upstream.upload import Uploads

NAME: Final = "prod/web"
WEST: Final = "us-west-2"
QUICK: Final = Pace(first_s=0.01, longest_s=0.05, silence_s_max=0.05, broken_s=0.05)
ARRIVES_S_MAX: Final = 8.0
# What a node replicates by may do that, deletions too, and log in; no more.
RIGHTS: Final = ("GetAuthorizationToken", "ReplicateImage", "CreateRepository", "BatchDeleteImage")
CARRIER: Final = Person(OWNER, "carrier", inline=(allow(None, *(f"ecr:{right}" for right in RIGHTS)),))
PEOPLE: Final = (ADMIN, STRANGER, CARRIER)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirror.jobs.replication.PACE", QUICK)


@dataclass
class Coasts:
    """Two nodes: what is pushed in the east goes west."""

    east: Town
    west: Town

    def pusher(self) -> Client:
        return self.east.client(ADMIN)

    def puller(self, account: str = OWNER, person: Person = ADMIN) -> Client:
        return self.west.client(person, host=f"{account}.dkr.ecr.{WEST}.{DOMAIN}")

    async def has(self, reference: str, name: str = NAME) -> bool:
        return (await self.puller().fetch(f"/v2/{name}/manifests/{reference}"))[0] == 200

    async def arrived(self, reference: str, name: str = NAME) -> None:
        async with asyncio.timeout(ARRIVES_S_MAX):
            while not await self.has(reference, name):
                await asyncio.sleep(0.01)

    async def status(self, image: PushedImage) -> list[dict[str, Any]]:
        status, answer = await self.east.call(
            ADMIN, "ecr", "DescribeImageReplicationStatus", repositoryName=NAME, imageId={"imageDigest": image.digest}
        )
        assert status == 200, answer
        found: list[dict[str, Any]] = answer["replicationStatuses"]
        return found


def home(region: str) -> Home:
    return Home(account=OWNER, region=region, domain=DOMAIN, create_on_push=True)


@asynccontextmanager
async def western(root: Path, **options: Any) -> AsyncIterator[Town]:
    root.mkdir(exist_ok=True)
    async with populated(root, people=PEOPLE, home=home(WEST), **options) as town:
        yield town


@asynccontextmanager
async def eastern(root: Path, url: str, person: Person = CARRIER) -> AsyncIterator[Town]:
    root.mkdir(exist_ok=True)
    secret = root / "west.secret"
    secret.write_text(person.secret)
    way = Region(WEST, url, person.key_id, str(secret), person.account)
    async with populated(root, people=PEOPLE, regions=(way,), home=home(REGION)) as town:
        yield town


@pytest.fixture
async def coasts(tmp_path: Path) -> AsyncIterator[Coasts]:
    async with western(tmp_path / "west") as west, eastern(tmp_path / "east", west.node.url) as east:
        await replicate(east)
        yield Coasts(east, west)


async def replicate(east: Town, account: str = OWNER, **rule: Any) -> None:
    rules = {"rules": [{"destinations": [{"region": WEST, "registryId": account}], **rule}]}
    status, answer = await east.call(ADMIN, "ecr", "PutReplicationConfiguration", replicationConfiguration=rules)
    assert status == 200, answer


async def test_what_is_pushed_here_is_there_byte_by_byte(coasts: Coasts) -> None:
    """ECR.md 2.4, cross-region: digests are equal at both ends; the status says COMPLETE."""
    image = await push_image(coasts.pusher(), NAME, "v1")
    await coasts.arrived("v1")
    assert (await coasts.puller().fetch(f"/v2/{NAME}/manifests/v1"))[2] == image.manifest
    for blob in (image.config, image.layer):
        assert (await coasts.puller().fetch(f"/v2/{NAME}/blobs/{sha256(blob)}"))[2] == blob
    async with asyncio.timeout(ARRIVES_S_MAX):
        while await coasts.status(image) != [{"region": WEST, "registryId": OWNER, "status": "COMPLETE"}]:
            await asyncio.sleep(0.01)


async def test_a_list_takes_its_images_along(coasts: Coasts) -> None:
    """DESIGN walk 5: children before parents."""
    child = await push_image(coasts.pusher(), NAME, "child")
    index = index_manifest([child.manifest])
    assert (await put_manifest(coasts.pusher(), NAME, "list", index, OCI_INDEX))[0] == 201
    await coasts.arrived("list")
    assert await coasts.has(child.digest)


async def test_a_layer_that_is_there_is_not_sent_again(coasts: Coasts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 4, section 1: destination HEAD first; a blob that many images share is sent once."""
    sent: list[str] = []
    put = Uploads.put

    async def counted(self: Uploads, key: Any, begin: Request, path: Path, size: int) -> None:
        sent.append(str(key[1]))
        await put(self, key, begin, path, size)

    monkeypatch.setattr(Uploads, "put", counted)
    image = await push_image(coasts.pusher(), NAME, "v1")
    await coasts.arrived("v1")
    assert sorted(sent) == sorted(sha256(blob) for blob in (image.config, image.layer))
    assert (await put_manifest(coasts.pusher(), NAME, "again", image.manifest))[0] == 201
    await coasts.arrived("again")
    assert len(sent) == 2


async def test_a_large_layer_comes_in_chunks_and_goes_on_after_a_cut(
    coasts: Coasts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 4, section 1: chunked uploads resumed at the byte."""
    monkeypatch.setattr(peer, "CHUNK_BYTES", 256 * 1024)
    cuts = [2]
    read = Uploads._bytes

    def cut(self: Uploads, path: Path, start: int, end: int) -> Body:
        async def body(taken: Callable[[], None]) -> AsyncIterator[bytes]:
            async for data in read(self, path, start, end)(taken):
                if start and cuts[0]:
                    cuts[0] -= 1
                    yield data[: len(data) // 2]
                    raise ConnectionResetError("cut")
                yield data

        return body

    monkeypatch.setattr(Uploads, "_bytes", cut)
    layer = bytes(range(256)) * 4096
    await push_blob(coasts.pusher(), NAME, layer)
    config = b"{}"
    await push_blob(coasts.pusher(), NAME, config)
    image = PushedImage(config, layer, image_manifest(config, [layer]))
    assert (await put_manifest(coasts.pusher(), NAME, "large", image.manifest))[0] == 201
    await coasts.arrived("large")
    assert (await coasts.puller().fetch(f"/v2/{NAME}/blobs/{sha256(layer)}"))[2] == layer
    assert cuts == [0]


async def test_deletions_go_along_where_a_rule_says_so(coasts: Coasts) -> None:
    """ECR.md 2.4, deleteReplication."""
    await replicate(coasts.east, deleteReplication={"enabled": True})
    await push_image(coasts.pusher(), NAME, "v1")
    await coasts.arrived("v1")
    gone = {"repositoryName": NAME, "imageIds": [{"imageTag": "v1"}]}
    assert (await coasts.east.call(ADMIN, "ecr", "BatchDeleteImage", **gone))[0] == 200
    async with asyncio.timeout(ARRIVES_S_MAX):
        while await coasts.has("v1"):
            await asyncio.sleep(0.01)


async def test_an_image_whose_bytes_are_lost_here_keeps_no_other_back(coasts: Coasts) -> None:
    """Issue 4, section 1: a poisoned item is parked with its reason; the place is not blamed for it."""
    layer = b"lost" * 1024
    digest = await push_blob(coasts.pusher(), NAME, layer)
    await push_blob(coasts.pusher(), NAME, b"{}")
    coasts.east.house.store.files.path(parse_digest(digest)).unlink()
    lost = PushedImage(b"{}", layer, image_manifest(b"{}", [layer]))
    assert (await put_manifest(coasts.pusher(), NAME, "lost", lost.manifest))[0] == 201
    await push_image(coasts.pusher(), NAME, "v1")
    await coasts.arrived("v1")
    async with asyncio.timeout(ARRIVES_S_MAX):
        while [one.get("failureCode") for one in await coasts.status(lost)] != ["LayerInaccessible"]:
            await asyncio.sleep(0.01)


async def test_a_region_that_was_away_catches_up(tmp_path: Path) -> None:
    """Issue 4, section 4: each image arrives once it is back, and nothing is given up."""
    port = free_port()
    async with eastern(tmp_path / "east", f"http://127.0.0.1:{port}") as east:
        await replicate(east)
        pushed = [await push_image(east.client(ADMIN), f"prod/app{number % 3}", f"v{number}") for number in range(12)]
        async with western(tmp_path / "west", port=port) as west:
            coasts = Coasts(east, west)
            for number, image in enumerate(pushed):
                await coasts.arrived(image.digest, f"prod/app{number % 3}")
                await coasts.arrived(f"v{number}", f"prod/app{number % 3}")


async def test_another_accounts_registry_there_decides(tmp_path: Path) -> None:
    """ECR.md 2.2: cross-account takes the registry policy of the destination; refused until then, and tried again."""
    async with western(tmp_path / "west") as west, eastern(tmp_path / "east", west.node.url) as east:
        coasts = Coasts(east, west)
        await replicate(east, OTHER)
        image = await push_image(coasts.pusher(), NAME, "v1")
        async with asyncio.timeout(ARRIVES_S_MAX):
            while [one["status"] for one in await coasts.status(image)] != ["FAILED"]:
                await asyncio.sleep(0.01)
        assert (await coasts.status(image))[0]["failureCode"] == "AccessDenied"
        await west.set_registry_policy(policy(allow(OWNER, "ecr:*", Resource="*")), OTHER)
        async with asyncio.timeout(ARRIVES_S_MAX):
            while [one["status"] for one in await coasts.status(image)] != ["COMPLETE"]:
                await asyncio.sleep(0.01)
        client = coasts.puller(OTHER, STRANGER)
        assert (await client.fetch(f"/v2/{NAME}/manifests/v1"))[2] == image.manifest


HEADERS: Final = {"Mirror-Replication": f"{OWNER}; from={REGION}"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "manifests/v1"),
        ("GET", "manifests/{digest}"),
        ("GET", "blobs/{layer}"),
        ("GET", "tags/list"),
        ("GET", "referrers/{digest}"),
    ],
)
async def test_who_may_replicate_reads_nothing_by_it(coasts: Coasts, method: str, path: str) -> None:
    """RELIABILITY A13, A22: a right to bring images is none to take them."""
    image = await push_image(coasts.pusher(), NAME, "v1")
    await coasts.arrived("v1")
    carrier = coasts.puller(person=CARRIER)
    named = path.format(digest=image.digest, layer=sha256(image.layer))
    for headers in (HEADERS, {}):
        async with carrier.request(method, f"/v2/{NAME}/{named}", headers=headers) as response:
            assert response.status == 403


async def test_what_was_lost_is_read_by_the_rights_of_a_pull(coasts: Coasts) -> None:
    """ECR.md 2.1, BatchGetImage and GetDownloadUrlForLayer: by the header, which says whose registry, as without."""
    image = await push_image(coasts.pusher(), NAME, "v1")
    await coasts.arrived("v1")
    for path, data in ((f"manifests/{image.digest}", image.manifest), (f"blobs/{sha256(image.layer)}", image.layer)):
        assert (await coasts.puller().fetch(f"/v2/{NAME}/{path}", headers=HEADERS))[2] == data
        stranger = await coasts.puller(OTHER, STRANGER).fetch(f"/v2/{NAME}/{path}", headers=HEADERS)
        assert stranger[0] == 403
    assert (await coasts.puller().fetch(f"/v2/{NAME}/tags/list", headers=HEADERS))[0] == 403


@pytest.mark.parametrize("said", ["", "x", f"{OWNER}", f"{OWNER}; from=US", f"{OWNER}; from={REGION}; more"])
async def test_a_header_that_says_nothing_is_refused(coasts: Coasts, said: str) -> None:
    async with coasts.puller().head(f"/v2/{NAME}/manifests/v1", headers={"Mirror-Replication": said}) as response:
        assert response.status == 400


async def test_without_the_right_nothing_is_replicated(coasts: Coasts) -> None:
    """ECR.md 2.1: ReplicateImage is an action like any other; nobody in particular has it."""
    for client in (coasts.west.client(host="mirror"), coasts.puller(OTHER, STRANGER)):
        async with client.request("POST", f"/v2/{NAME}/blobs/uploads/", headers=HEADERS) as response:
            assert response.status == 403
    async with coasts.puller(person=CARRIER).request("POST", f"/v2/{NAME}/blobs/uploads/") as response:
        assert response.status == 403, "and it is no right to push"
