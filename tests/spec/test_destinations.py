"""Destinations: what is pushed here goes to registries of any kind. Bytes are compared at the far end.

The far ends are real: Debian's docker-registry, which knows no referrers, and a node of ours that asks for a token or a
password.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import aiohttp
import pytest
from accounts import ADMIN, OWNER, REGION, Client, Person, Town, allow, basic, populated
from pushing import PushedImage, image_manifest, index_manifest, push_blob, push_image, put_manifest, sha256
from running import OPEN
from waiting import until

from mirror import telemetry
from mirror.config.settings import Home
from mirror.jobs.replication import Pace
from mirror.oci.media import ACCEPT, OCI_INDEX
from mirror.oci.names import Registry
from mirror.rules.destinations import DestinationRule
from mirror.store.replications import Place
from tests.clients.daemons import which
from tests.clients.registries import Upstream
from tests.ports import free_port

NAME: Final = "team/app"
THERE: Final = "mirror/app"  # as the rule renames it
QUICK: Final = Pace(first_s=0.01, longest_s=0.05, silence_s_max=0.05, broken_s=0.05)
ROBOT: Final = Person(OWNER, "robot", inline=(allow(None, "ecr:*"),), password="a password of the robot's")
SIGNATURE: Final = b"a signature"

Kind = Literal["docker-registry", "token", "basic"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirror.jobs.replication.PACE", QUICK)


@dataclass
class Far:
    """A registry elsewhere, asked as any client would."""

    url: str
    session: aiohttp.ClientSession
    rule: DestinationRule
    has_referrers: bool

    async def get(self, path: str) -> bytes | None:
        async with self.session.get(f"{self.url}/v2/{path}", headers={"Accept": ACCEPT}) as response:
            return await response.read() if response.status == 200 else None

    async def arrived(self, reference: str, name: str = THERE) -> bytes:
        found: bytes = await until(lambda: self.get(f"{name}/manifests/{reference}"))
        return found

    async def referrers(self, digest: str, name: str = THERE) -> list[str]:
        """List what refers to an image, by the API or by the tag that stands for it."""
        path = f"referrers/{digest}" if self.has_referrers else f"manifests/{digest.replace(':', '-')}"
        found = await self.get(f"{name}/{path}")
        return [one["digest"] for one in json.loads(found or b"{}").get("manifests", [])]


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[Upstream]:
    """Debian's docker-registry."""
    if which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    (tmp_path / "foreign").mkdir()
    registry = Upstream(tmp_path / "foreign")
    registry.start()
    yield registry
    registry.stop()


def rule_for(url: str, **given: Any) -> DestinationRule:
    return DestinationRule("backup", url, **{"strip": "team", "prefix": "mirror", **given})


@pytest.fixture(params=["docker-registry", "token", "basic"])
async def far(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Far]:
    kind: Kind = request.param
    if kind == "docker-registry":
        registry: Upstream = request.getfixturevalue("foreign")
        url = f"http://127.0.0.1:{registry.port}"
        async with aiohttp.ClientSession() as session:
            yield Far(url, session, rule_for(url), has_referrers=False)
        return
    secret = tmp_path / "robot.password"
    secret.write_text(f"{ROBOT.password}\n")
    (tmp_path / "far").mkdir()
    home = Home(account=OWNER, region=REGION, domain="localhost", create_on_push=True, login=kind)
    port = free_port()
    public_url = f"http://127.0.0.1:{port}"  # its token service must be at the host that the rule names
    async with populated(tmp_path / "far", people=(ROBOT,), home=home, port=port, public_url=public_url) as town:
        rule = rule_for(town.node.url, username=ROBOT.name, password_file=str(secret))
        login = {"Authorization": basic(ROBOT.name, ROBOT.password)}
        async with aiohttp.ClientSession(headers=login) as session:
            yield Far(town.node.url, session, rule, has_referrers=True)


@asynccontextmanager
async def near(root: Path, *rules: DestinationRule, people: tuple[Person, ...] = (ADMIN,)) -> AsyncIterator[Town]:
    """The node that images are pushed to."""
    root.mkdir(exist_ok=True)
    home = replace(OPEN, account=OWNER, domain="localhost")
    async with populated(root, people=people, home=home, destinations=rules, anonymous=("pull", "push")) as town:
        yield town


def pusher(town: Town) -> Client:
    return town.client(ADMIN)


async def push_referrer(town: Town, subject: bytes, *, tag: str = "", seed: str = "") -> bytes:
    """Push a signature of a manifest; return its own."""
    about = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": sha256(subject), "size": len(subject)}
    layer = SIGNATURE + seed.encode()
    manifest = image_manifest(b"{}", [layer], artifactType="application/vnd.test.signature", subject=about)
    for blob in (b"{}", layer):
        await push_blob(pusher(town), NAME, blob)
    status, _, body = await put_manifest(pusher(town), NAME, tag or sha256(manifest), manifest)
    assert status == 201, body
    return manifest


async def test_what_is_pushed_here_is_there_byte_by_byte(tmp_path: Path, far: Far) -> None:
    """Issue 4, section 3: push to any OCI registry, renamed; digests equal at both ends."""
    async with near(tmp_path / "near", far.rule) as town:
        image = await push_image(pusher(town), NAME, "v1")
        assert await far.arrived("v1") == image.manifest
    for blob in (image.config, image.layer):
        assert await far.get(f"{THERE}/blobs/{sha256(blob)}") == blob


async def test_an_index_goes_with_its_children(tmp_path: Path, far: Far) -> None:
    """Issue 4, section 1: children before parents."""
    async with near(tmp_path / "near", replace(far.rule, tags=("list",))) as town:
        child = await push_image(pusher(town), NAME, "child")
        index = index_manifest([child.manifest])
        assert (await put_manifest(pusher(town), NAME, "list", index, OCI_INDEX))[0] == 201
        assert await far.arrived("list") == index
    assert await far.get(f"{THERE}/manifests/{child.digest}") == child.manifest
    assert await far.get(f"{THERE}/manifests/child") is None


async def test_only_what_filters_choose_goes(tmp_path: Path, far: Far) -> None:
    """Issue 4, section 3: repository and tag filters."""
    rule = replace(far.rule, repositories=("team/*", "!team/tmp*"), tags=("semver:>=1.0", "!*-rc*"))
    async with near(tmp_path / "near", rule) as town:
        for name, tag in ((NAME, "latest"), (NAME, "0.9"), (NAME, "1.1-rc1"), ("team/tmp", "1.1"), ("own", "1.1")):
            await push_image(pusher(town), name, tag)
        last = await push_image(pusher(town), NAME, "1.1")
        assert await far.arrived("1.1") == last.manifest
        await until(lambda: _idle(town))
    listed = json.loads(await far.get(f"{THERE}/tags/list") or b"{}")
    assert listed["tags"] == ["1.1"]
    assert await far.get("mirror/tmp/tags/list") is None


async def _idle(town: Town) -> bool:
    return not await town.house.store.replications.lags()


async def test_signatures_go_with_their_image(tmp_path: Path, far: Far) -> None:
    """Issue 4, section 1: referrers with their subject, by the API or the fallback tag; and cosign's tags."""
    async with near(tmp_path / "near", replace(far.rule, tags=("v*",))) as town:
        image = await push_image(pusher(town), NAME, "other")
        before = await push_referrer(town, image.manifest)
        assert (await put_manifest(pusher(town), NAME, "v1", image.manifest))[0] == 201
        await until(lambda: far.referrers(image.digest))
        after = await push_referrer(town, image.manifest, seed="another")
        cosign = f"{image.digest.replace(':', '-')}.sig"
        signed = await push_image(pusher(town), NAME, cosign)
        assert await far.arrived(cosign) == signed.manifest
        digests = {sha256(before), sha256(after)}
        await until(lambda: _same(far.referrers(image.digest), digests))
    assert await far.get(f"{THERE}/manifests/{sha256(before)}") == before
    assert await far.get(f"{THERE}/blobs/{sha256(SIGNATURE)}") == SIGNATURE


async def _same(found: Any, wanted: set[str]) -> bool:
    return set(await found) == wanted


async def test_what_is_about_an_image_that_does_not_go_stays_here(tmp_path: Path, far: Far) -> None:
    """Issue 4, section 3: a filter on tags is no hole for what has none."""
    async with near(tmp_path / "near", replace(far.rule, tags=("v*",))) as town:
        image = await push_image(pusher(town), NAME, "other")
        referrer = await push_referrer(town, image.manifest)
        await push_image(pusher(town), NAME, f"{image.digest.replace(':', '-')}.sig")
        await push_image(pusher(town), NAME, "v1")
        await far.arrived("v1")
    assert await far.get(f"{THERE}/manifests/{sha256(referrer)}") is None
    assert json.loads(await far.get(f"{THERE}/tags/list") or b"{}")["tags"] == ["v1"]


async def test_a_layer_that_many_images_share_is_sent_once(tmp_path: Path, far: Far) -> None:
    """Issue 4, section 1: mount where the destination has the blob, from whatever repository."""
    sent = telemetry.REPLICATION_BYTES.labels("backup", "")
    layer = b"a layer of all" * 50_000
    async with near(tmp_path / "near", far.rule) as town:
        before = sent._value.get()
        for name in ("team/app", "team/other"):
            config = f'{{"of": "{name}"}}'.encode()
            for blob in (config, layer):
                await push_blob(pusher(town), name, blob)
            manifest = image_manifest(config, [layer])
            assert (await put_manifest(pusher(town), name, "v1", manifest))[0] == 201
        await far.arrived("v1")
        await far.arrived("v1", "mirror/other")
        assert len(layer) <= sent._value.get() - before < 1.5 * len(layer)
    assert await far.get(f"mirror/other/blobs/{sha256(layer)}") == layer


async def test_a_new_destination_is_sent_what_comes_and_a_backfill_the_rest(tmp_path: Path, far: Far) -> None:
    """Issue 4, section 1: a new rule starts from now, a backfill from the beginning."""
    async with near(tmp_path / "near") as town:
        old = await push_image(pusher(town), NAME, "old")
    async with near(tmp_path / "near", far.rule) as town:
        await push_image(pusher(town), NAME, "new")
        await far.arrived("new")
        assert await far.get(f"{THERE}/manifests/old") is None
        assert await town.house.backfills.ask_all(Registry(OWNER), Place("backup", "")) == 2
        assert await far.arrived("old") == old.manifest
    async with near(tmp_path / "near", far.rule) as town:
        await push_image(pusher(town), NAME, "newest")
        await far.arrived("newest")


async def test_deletions_go_along_where_the_rule_says_so(tmp_path: Path, far: Far) -> None:
    """Issue 4, section 3: by its digest; by a tag only where the registry knows how."""
    async with near(tmp_path / "near", replace(far.rule, delete=True)) as town:
        image = await push_image(pusher(town), NAME, "v1")
        await far.arrived("v1")
        gone = {"repositoryName": NAME, "imageIds": [{"imageDigest": image.digest}]}
        assert (await town.call(ADMIN, "ecr", "BatchDeleteImage", **gone))[0] == 200
        await until(lambda: _gone(far, image.digest))


async def _gone(far: Far, reference: str) -> bool:
    return await far.get(f"{THERE}/manifests/{reference}") is None


async def test_a_registry_that_was_away_is_sent_all_when_it_is_back(tmp_path: Path, foreign: Upstream) -> None:
    """Issue 4, section 1: retries with growing delays and no give-up while the rule stands."""
    foreign.stop()
    url = f"http://127.0.0.1:{foreign.port}"
    async with near(tmp_path / "near", rule_for(url)) as town, aiohttp.ClientSession() as session:
        images = [await push_image(pusher(town), NAME, f"v{number}") for number in range(5)]
        await asyncio.to_thread(foreign.start)
        far = Far(url, session, rule_for(url), has_referrers=False)
        assert [await far.arrived(f"v{number}") for number in range(5)] == [image.manifest for image in images]


async def test_an_image_that_a_registry_refuses_keeps_no_other_back(tmp_path: Path, foreign: Upstream) -> None:
    """Issue 4, section 1: a poisoned item is parked with its reason. Distribution takes no index with parts missing."""
    url = f"http://127.0.0.1:{foreign.port}"
    rule = rule_for(url, platforms=("linux/arm64",), tags=("list", "v1"))
    async with near(tmp_path / "near", rule) as town, aiohttp.ClientSession() as session:
        child = await push_image(pusher(town), NAME, "child")
        parts = [{**one, "platform": {"os": "linux", "architecture": "amd64"}} for one in _parts(child)]
        index = index_manifest(manifests=parts)
        assert (await put_manifest(pusher(town), NAME, "list", index, OCI_INDEX))[0] == 201
        await push_image(pusher(town), NAME, "v1")
        await Far(url, session, rule, has_referrers=False).arrived("v1")
        replications = town.house.store.replications
        (refused,) = await until(lambda: replications.refused(10))
        assert refused.order.tag == "list"
        assert "400: blob unknown" in refused.reason


async def test_a_blob_that_is_gone_there_is_sent_again(tmp_path: Path, foreign: Upstream) -> None:
    """Issue 4, section 1: what was there once is believed to be there until a manifest is refused."""
    url = f"http://127.0.0.1:{foreign.port}"
    async with near(tmp_path / "near", rule_for(url)) as town, aiohttp.ClientSession() as session:
        far = Far(url, session, rule_for(url), has_referrers=False)
        image = await push_image(pusher(town), NAME, "v1")
        await far.arrived("v1")
        async with session.delete(f"{url}/v2/{THERE}/blobs/{sha256(image.layer)}") as response:
            assert response.status == 202
        again = image_manifest(image.config, [image.layer], annotations={"again": "yes"})
        assert (await put_manifest(pusher(town), NAME, "v2", again))[0] == 201
        assert await far.arrived("v2") == again
        assert await far.get(f"{THERE}/blobs/{sha256(image.layer)}") == image.layer


def _parts(image: PushedImage) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = json.loads(index_manifest([image.manifest]))["manifests"]
    return parts


async def test_nothing_goes_while_a_window_is_closed(tmp_path: Path, far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 4, section 1: time windows; what waits goes when one opens."""
    monkeypatch.setattr("mirror.jobs.replication.LOOK_S_MAX", 0.01)
    waits = [3_600.0]
    monkeypatch.setattr("mirror.jobs.replication.Lane.opens_in_s", lambda lane: waits[0] if lane.workers == 1 else 0.0)
    night = replace(far.rule, name="night", prefix="night", workers=1, windows=("22:00-06:00",))
    async with near(tmp_path / "near", far.rule, night) as town:
        image = await push_image(pusher(town), NAME, "v1")
        await far.arrived("v1")
        assert await far.get("night/app/manifests/v1") is None
        assert (await town.house.store.replications.lags())[Place("night", "")].waiting == 1
        waits[0] = 0.0
        assert await far.arrived("v1", "night/app") == image.manifest


async def test_a_wrong_password_is_said(tmp_path: Path, far: Far) -> None:
    """README, bad input: the status names the reason."""
    if not far.rule.username:
        pytest.skip("this docker-registry asks for no password")
    (tmp_path / "wrong").write_text("wrong\n")
    async with near(tmp_path / "near", replace(far.rule, password_file=str(tmp_path / "wrong"))) as town:
        await push_image(pusher(town), NAME, "v1")
        replications = town.house.store.replications
        (refused, *_) = await until(lambda: replications.refused(10))
        assert refused.failure == "AccessDenied"
        assert "destination backup" in refused.reason
        assert ROBOT.password not in refused.reason
