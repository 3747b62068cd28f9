"""Damage on the disk under a node that serves: noticed before a byte goes out, healed by itself, else told of."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import aiohttp
import pytest
from command_line import asked
from pulling import pull, settled
from pushing import code_of, image_manifest, push_blob, put_manifest, sha256
from running import RunningNode, cached, running
from standin import OCI_MANIFEST, Image, Standin
from waiting import until

from mirror.jobs.scrub import Pace

DATA: Final = Random(11).randbytes(300_000)
NAME: Final = "team/app"
EAGER: Final = Pace(start_s=0.0, look_s=0.02, every_s=0.02)

pytestmark = pytest.mark.usefixtures("logging_of_its_own")


@dataclass
class Site:
    """A node with an image of an upstream's, all of which is here."""

    node: RunningNode
    standin: Standin
    image: Image
    root: Path

    @property
    def layer(self) -> str:
        return f"/v2/{self.image.name}/blobs/{self.image.layers[0]}"

    @property
    def file(self) -> Path:
        return file_of(self.root, self.image.layers[0])

    def quarantined(self) -> list[bytes]:
        folder = self.root / "quarantine"
        return [path.read_bytes() for path in folder.iterdir()] if folder.exists() else []


def file_of(root: Path, digest: str) -> Path:
    return root / "blobs" / "sha256" / digest[7:9] / digest[7:]


def flip(path: Path, at: int) -> bytes:
    """Let one byte of a file be another one, in its place; return what the file has now."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x40]))
    return path.read_bytes()


@asynccontextmanager
async def site(root: Path, **options: Any) -> AsyncIterator[Site]:
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [DATA])
        async with running(root, upstreams=[cached(standin)], **options) as node:
            await pull(node, image)
            yield Site(node, standin, image, root)


async def metric(node: RunningNode, name: str) -> float:
    """Return the sum of a metric over its labels."""
    text = (await node.fetch("/metrics"))[2].decode()
    lines = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def test_a_flipped_bit_is_found_by_the_scrub_and_healed_from_the_upstream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue section "Integrity": quarantined and healed from its upstream by itself, and counted."""
    monkeypatch.setattr("mirror.jobs.scrub.PACE", EAGER)
    async with site(tmp_path) as warm:
        healed_before = await metric(warm.node, "mirror_damage_healed_total")
        found_before = await metric(warm.node, "mirror_damage_found_total")
        wrong = flip(warm.file, 123_456)
        await until(lambda: _is_whole(warm.file))
        assert (await warm.node.fetch(warm.layer))[2] == DATA
        assert warm.quarantined() == [wrong]
        assert await metric(warm.node, "mirror_damage_found_total") > found_before
        assert await metric(warm.node, "mirror_scrub_bytes_total") >= len(DATA)

        async def is_counted() -> bool:
            return await metric(warm.node, "mirror_damage_healed_total") > healed_before

        await until(is_counted)


async def test_a_flipped_bit_is_a_miss_while_its_upstream_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue section "Integrity": nothing wrong is served meanwhile; it is healed by the next pull."""
    monkeypatch.setattr("mirror.jobs.scrub.PACE", EAGER)
    async with site(tmp_path) as warm:
        await warm.standin.stop()
        flip(warm.file, len(DATA) - 1)

        async def is_set_aside() -> bool:
            return not await asyncio.to_thread(warm.file.exists)

        await until(is_set_aside)
        assert (await warm.node.fetch(warm.layer))[0] == 503
        await warm.standin.start()
        await until(lambda: _is(warm.node, warm.layer, DATA))


async def _is_whole(file: Path) -> bool:
    """Tell whether a blob's file has the right bytes again. A node that finds it damaged moves it away."""
    with suppress(FileNotFoundError):
        return await asyncio.to_thread(file.read_bytes) == DATA
    return False


@pytest.mark.parametrize("size", [None, 0, 1, len(DATA) - 1, len(DATA) + 1])
async def test_a_file_that_is_gone_short_or_long_heals_in_the_same_request(tmp_path: Path, size: int | None) -> None:
    """RELIABILITY G5: all deleted, short and long blob files are noticed before the first byte."""
    async with site(tmp_path) as warm:
        warm.standin.forget()
        if size is None:
            warm.file.unlink()
        else:
            os.truncate(warm.file, size)
        status, headers, body = await warm.node.fetch(warm.layer)
        assert (status, headers["Content-Length"], body) == (200, str(len(DATA)), DATA)
        await settled(warm.node)
        assert warm.standin.count("blob", warm.image.layers[0]) == 1
        assert (await warm.node.fetch(warm.layer))[2] == DATA
        assert warm.standin.count("blob", warm.image.layers[0]) == 1


@pytest.mark.parametrize("headers", [{}, {"X-Unusual": "header"}], ids=["express", "normal"])
async def test_a_head_does_not_say_that_lost_bytes_of_our_own_are_here(tmp_path: Path, headers: dict[str, str]) -> None:
    """Issue section "Integrity": presence before headers, in both lanes: so a push sends the blob again."""
    async with running(tmp_path) as node:
        path, digest = await push_one(node)
        # On a connection of its own: where a body has come in, there is no express lane any more.
        async with aiohttp.ClientSession() as session:
            asking = RunningNode(node.node, session)
            for damage in ("short", "gone"):
                async with asking.head(path, headers=headers) as response:
                    assert (response.status, response.headers["Content-Length"]) == (200, str(len(DATA)))
                file = file_of(tmp_path, digest)
                os.truncate(file, 1) if damage == "short" else file.unlink()
                async with asking.head(path, headers=headers) as response:
                    assert response.status == 404
                await push_blob(node, NAME, DATA)


async def test_an_image_that_has_lost_a_blob_is_not_whole_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mirror/README, "Manifest before blobs": podman takes all from where the manifest came, so it must be able to."""
    monkeypatch.setattr("mirror.registry.pull.PROOF_S", 0.0)
    async with site(tmp_path) as warm:
        path = f"/v2/{warm.image.name}/manifests/{warm.image.digest}"
        assert (await warm.node.fetch(path))[2] == warm.image.manifest
        await warm.standin.stop()
        assert (await warm.node.fetch(path))[0] == 200
        warm.file.unlink()
        assert (await warm.node.fetch(warm.layer))[0] == 503
        assert (await warm.node.fetch(path))[0] == 503
        await warm.standin.start()
        await until(lambda: _is(warm.node, warm.layer, DATA))
        assert (await warm.node.fetch(path))[2] == warm.image.manifest


async def _is(node: RunningNode, path: str, data: bytes) -> bool:
    status, _, body = await node.fetch(path)
    assert status != 200 or body == data
    return status == 200


@pytest.mark.parametrize("damage", ["gone", "short", "wrong"])
async def test_a_large_manifest_is_held_against_its_digest_before_it_is_served(tmp_path: Path, damage: str) -> None:
    """RELIABILITY section 4, "Bit rot": one above what the index has a copy of; fetched again where it was cached."""
    async with Standin() as standin, running(tmp_path, upstreams=[cached(standin)]) as node:
        large = image_manifest(b"{}", annotations={"filler": "x" * 100_000})
        standin.add_blob(b"{}")
        digests = standin.add_manifest("library/app", "v1", large, OCI_MANIFEST), sha256(large)
        ours = image_manifest(b"{}", annotations={"filler": "y" * 100_000})
        await push_blob(node, NAME, b"{}")
        assert (await put_manifest(node, NAME, "v1", ours))[0] == 201
        assert (await node.fetch("/v2/library/app/manifests/v1"))[2] == large
        for digest in (*digests, sha256(ours)):
            path = file_of(tmp_path, digest)
            if damage == "gone":
                path.unlink(missing_ok=True)
            elif damage == "short":
                os.truncate(path, 90_000)
            else:
                path.write_bytes(path.read_bytes().replace(b"x" * 9, b"z" * 9).replace(b"y" * 9, b"z" * 9))
        assert (await node.fetch("/v2/library/app/manifests/v1"))[2] == large
        assert (await node.fetch(f"/v2/library/app/manifests/{digests[0]}"))[2] == large
        status, _, body = await node.fetch(f"/v2/{NAME}/manifests/v1")
        assert (status, code_of(body)) == (404, "MANIFEST_UNKNOWN")


async def push_one(node: RunningNode) -> tuple[str, str]:
    """Push an image of our own with one large layer; return the layer's path and digest."""
    for blob in (b"{}", DATA):
        await push_blob(node, NAME, blob)
    assert (await put_manifest(node, NAME, "v1", image_manifest(b"{}", [DATA])))[0] == 201
    return f"/v2/{NAME}/blobs/{sha256(DATA)}", sha256(DATA)


@pytest.mark.parametrize("damage", ["gone", "short", "wrong"])
async def test_bytes_of_our_own_that_nobody_has_are_unknown_and_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: list[Any], damage: str
) -> None:
    """Issue section "Integrity": reported where none has it, and no 200 with wrong bytes; a push brings it back."""
    monkeypatch.setattr("mirror.jobs.scrub.PACE", EAGER)
    async with running(tmp_path) as node:
        path, digest = await push_one(node)
        file = file_of(tmp_path, digest)
        if damage == "gone":
            file.unlink()
        elif damage == "short":
            os.truncate(file, 100)
        else:
            flip(file, 1_000)

        async def is_told() -> bool:
            return await metric(node, "mirror_damage_lost") == 1

        await until(is_told)
        status, _, body = await node.fetch(path)
        assert (status, code_of(body)) == (404, "BLOB_UNKNOWN")
        async with node.head(path) as response:
            assert response.status == 404
        told = next(event for event in events if event["event"] == "bytes lost: nobody has them")
        assert (told["digest"], told["repositories"], told["log_level"]) == (digest, [NAME], "error")
        await push_blob(node, NAME, DATA)
        assert (await node.fetch(path))[2] == DATA

        async def is_over() -> bool:
            return await metric(node, "mirror_damage_lost") == 0

        await until(is_over)


async def test_our_own_bytes_come_back_from_an_upstream_that_has_the_same(tmp_path: Path) -> None:
    """A base layer was pushed here, and is cached too: what one of the two has is enough."""
    async with site(tmp_path) as warm:
        path, digest = await push_one(warm.node)
        assert digest == warm.image.layers[0]
        warm.file.unlink()
        assert (await warm.node.fetch(path))[0] == 404

        await until(lambda: _is(warm.node, path, DATA))


async def test_verify_of_a_running_node_names_damage_and_repair_heals_it(tmp_path: Path) -> None:
    """Issue section "Integrity": `mirror verify [--repair]` through the administration socket, with exit codes."""
    async with site(tmp_path) as warm:
        good = await asked(tmp_path, "verify")
        assert (good.exit_code, good.stderr.splitlines()[-1]) == (0, "0 faults")
        flip(warm.file, 99)
        bad = await asked(tmp_path, "verify")
        assert bad.exit_code == 1
        assert bad.stderr.splitlines() == [f"{warm.image.layers[0]}: wrong bytes", "1 fault"]
        repaired = await asked(tmp_path, "verify", "--repair", "--json")
        assert repaired.exit_code == 0
        assert '"outcome": "healed"' in repaired.stdout
        assert '"healed": 1' in repaired.stdout
        assert warm.file.read_bytes() == DATA
        assert (await asked(tmp_path, "verify")).exit_code == 0


async def test_verify_of_a_store_without_a_node_opens_it_and_says_what_is_lost(tmp_path: Path) -> None:
    """Issue section "Integrity": exit 1 for as long as something is lost."""
    async with running(tmp_path) as node:
        _, digest = await push_one(node)
    flip(file_of(tmp_path, digest), 5)
    for words in (("verify", "--repair"), ("verify", "--repair")):
        result = await asked(tmp_path, *words)
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1] == "1 fault, 0 repaired, 1 lost"
        assert f"{digest}: " in result.stderr
    assert not (tmp_path / "admin.sock").exists()
