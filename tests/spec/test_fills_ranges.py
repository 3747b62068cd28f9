"""Cold ranges: served from the fill, with at most one bounded look ahead, and never the blob twice."""

import asyncio
from pathlib import Path
from random import Random

from running import RunningNode, cached, running
from standin import Fault, Standin

MIB = 1024 * 1024
SOCKET_BYTES = 12 * MIB  # what the kernel takes of an answer that is then dropped: once, where the front stopped
DATA = Random(5).randbytes(48 * MIB)


async def test_a_cold_range_is_served_from_the_fill(tmp_path: Path) -> None:
    """Issue section 4; CLIENTS quirk 7: 206 on a miss too."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [DATA[:MIB]])
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            await node.fetch("/v2/library/app/manifests/v1")
            path = f"/v2/library/app/blobs/{image.layers[0]}"
            for asked, start, end in (("bytes=1000-1999", 1_000, 2_000), ("bytes=-5", MIB - 5, MIB)):
                status, headers, body = await node.fetch(path, headers={"Range": asked})
                assert (status, body) == (206, DATA[start:end])
                assert headers["Content-Range"] == f"bytes {start}-{end - 1}/{MIB}"
            assert standin.count("blob", image.layers[0], "GET") == 1
            assert "range" not in standin.asked("blob")[0].headers


async def test_a_range_far_ahead_on_a_slow_upstream_opens_one_bounded_side_range(tmp_path: Path) -> None:
    """Issue section 4: into the same sparse file, and nothing is fetched twice."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [DATA])
        layer = image.layers[0]
        standin.faults = [Fault(on="blob", hang_after=MIB, times=1)]
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            await node.fetch("/v2/library/app/manifests/v1")
            path = f"/v2/library/app/blobs/{layer}"
            whole = asyncio.create_task(node.fetch(path))
            await standin.stalled.wait()
            # A rate is measured after a quarter of a second; only then is anything far away.
            await asyncio.sleep(0.3)
            start = 20 * MIB
            parts = await asyncio.gather(
                *(node.fetch(path, headers={"Range": f"bytes={start}-{start + MIB - 1}"}) for _ in range(4))
            )
            assert all(part[2] == DATA[start : start + MIB] for part in parts)
            assert not whole.done()
            sides = [seen.headers["range"] for seen in standin.asked("blob", layer)[1:]]
            assert sides == [f"bytes={start}-{start + 16 * MIB - 1}"]
            standin.resume()
            assert (await whole)[2] == DATA
            assert standin.sent_bytes["blob", layer] <= len(DATA) + SOCKET_BYTES


async def test_eight_parallel_open_ended_ranges_closed_early_cost_one_blob(tmp_path: Path) -> None:
    """CLIENTS quirk 7 (containerd 2.x); FIELD "Tests to copy", 6: right bytes, at most 1.1x the blob."""
    chunk = 6 * MIB
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [DATA])
        layer = image.layers[0]
        standin.fault = Fault(on="blob", drip_bytes_s=40 * MIB)
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            await node.fetch("/v2/library/app/manifests/v1")
            parts = await asyncio.gather(*(_chunk(node, layer, at, chunk) for at in range(0, len(DATA), chunk)))
            assert b"".join(parts) == DATA
            assert (await node.fetch(f"/v2/library/app/blobs/{layer}"))[2] == DATA
        assert standin.sent_bytes["blob", layer] <= 1.1 * len(DATA)


async def _chunk(node: RunningNode, digest: str, start: int, count: int) -> bytes:
    """Ask as containerd does, with an open end, and hang up when the chunk is here."""
    headers = {"Range": f"bytes={start}-"}
    async with node.get(f"/v2/library/app/blobs/{digest}", headers=headers) as response:
        assert response.status == 206
        data: bytes = await response.content.readexactly(min(count, len(DATA) - start))
        response.close()
        return data
