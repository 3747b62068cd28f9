"""An upstream that fails, in every way, against everything that a client may want (RELIABILITY section 4)."""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pulling import pull
from running import RunningNode, cached, running
from standin import Bearer, Fault, Standin

from mirror.upstream.limits import Limits

CLOCKS = Limits(connect_s=0.3, headers_s=0.4, stall_s=0.5, retry_pause_s=0.005)
TAG = "/v2/library/app/manifests/v1"

# How upstream fails, and what a client hears of it who asks for something that is not here.
FAULTS: dict[str, tuple[Fault | None, set[int]]] = {
    "stopped": (None, {503}),
    "hangs": (Fault(hang=True), {504, 503}),
    "closes": (Fault(close=True), {502, 503}),
    "is not HTTP": (Fault(raw=b"SSH-2.0-OpenSSH_9\r\n"), {502, 503}),
    "500": (Fault(status=500), {502, 503}),
    "503": (Fault(status=503), {502, 503}),
    "429": (Fault(status=429, headers={"Retry-After": "30"}), {503}),
    "gzip": (Fault(gzip=True), {502}),
    "log-in page": (Fault(html=True), {502}),
    "redirect loop": (Fault(redirect="{target}"), {502}),
}


async def timed(node: RunningNode, path: str) -> tuple[float, int, Any, bytes]:
    started_at = time.monotonic()
    status, headers, body = await node.fetch(path)
    return time.monotonic() - started_at, status, headers, body


@pytest.mark.parametrize("kind", FAULTS)
async def test_upstream_fails(tmp_path: Path, kind: str) -> None:
    """Cached tag within a second, stale and owned up to; cached digest without a call; the rest a clear 502/503/504."""
    fault, refusals = FAULTS[kind]
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        cold, new = standin.add_image("library/cold", "v1"), standin.add_image("library/cold", "new")
        async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=0)], clocks=CLOCKS) as node:
            await pull(node, image)
            await node.fetch("/v2/library/app/tags/list")
            await node.fetch(f"/v2/library/cold/manifests/{cold.digest}")
            standin.forget()
            standin.fault = replace(fault) if fault else None
            if fault is None:
                await standin.stop()
            for path in (f"manifests/{image.digest}", f"blobs/{image.layers[0]}", f"blobs/{image.config}"):
                assert (await node.fetch(f"/v2/library/app/{path}"))[0] == 200
            assert standin.count() == 0
            for path in (TAG, "/v2/library/app/tags/list"):
                elapsed, status, headers, body = await timed(node, path)
                assert (status, elapsed < 1.0) == (200, True)
                assert headers["Warning"].startswith("111 ")
                assert int(headers["Age"]) >= 0
                assert body in (image.manifest, b'{"name":"library/app","tags":["v1"]}')
            for path in ("manifests/new", f"manifests/{new.digest}", f"blobs/{cold.layers[0]}", "tags/list"):
                elapsed, status, headers, body = await timed(node, f"/v2/library/cold/{path}")
                assert (status in refusals, elapsed < 10.0) == (True, True), (path, status)
                assert json.loads(body)["errors"][0]["message"]
            standin.resume()


async def test_a_hanging_upstream_never_makes_a_cached_tag_wait_a_second(tmp_path: Path) -> None:
    """RELIABILITY G8, with the clocks of production: cached tag stale in one second at most."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=0)]) as node:
            await pull(node, image)
            standin.fault = Fault(hang=True)
            elapsed, status, headers, body = await timed(node, TAG)
            assert (status, body, elapsed < 1.0) == (200, image.manifest, True)
            assert "Warning" in headers
            standin.resume()


async def test_a_tag_that_may_not_be_stale_fails_with_its_upstream(tmp_path: Path) -> None:
    """`stale_max_s`: 0 = never."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        rule = cached(standin, tag_fresh_s=0, stale_max_s=0)
        async with running(tmp_path, upstreams=[rule], clocks=CLOCKS) as node:
            await pull(node, image)
            standin.fault = Fault(status=500)
            assert (await node.fetch(TAG))[0] == 502
            assert (await node.fetch(f"/v2/library/app/manifests/{image.digest}"))[0] == 200


async def test_what_upstream_hides_from_the_public_is_unknown(tmp_path: Path) -> None:
    """RELIABILITY section 4: an anonymous 401 or 403 says "not for you": 404, never a challenge of ours."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        async with running(tmp_path, upstreams=[cached(standin)], clocks=CLOCKS) as node:
            for status, name in ((401, "app"), (403, "other")):
                standin.fault = Fault(status=status)
                for path in ("manifests/v1", f"manifests/{image.digest}", f"blobs/{image.config}", "tags/list"):
                    answered, headers, _ = await node.fetch(f"/v2/library/{name}/{path}")
                    assert (answered, "WWW-Authenticate" in headers) == (404, False)


async def test_what_upstream_denies_to_our_credential_is_502(tmp_path: Path) -> None:
    """RELIABILITY section 4: upstream 401/403 with our credential is 502, not 401."""
    secret = tmp_path / "password"
    secret.write_text("wrong")
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        standin.bearer = Bearer("us", "right")
        rule = cached(standin, username="us", password_file=str(secret), authorize="anonymous")
        async with running(tmp_path / "data", upstreams=[rule], clocks=CLOCKS) as node:
            for path in ("manifests/v1", f"manifests/{image.digest}", f"blobs/{image.config}", "tags/list"):
                status, headers, body = await node.fetch(f"/v2/library/app/{path}")
                assert (status, "WWW-Authenticate" in headers) == (502, False)
                assert b"wrong" not in body


async def test_a_token_is_fetched_once_for_all_callers(tmp_path: Path) -> None:
    """Issue section 4: one token per (upstream, scope), reused until it expires, fetched once for N callers."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        standin.bearer = Bearer()
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            await node.fetch(TAG)
            blobs = (image.config, *image.layers)
            answers = await asyncio.gather(*(node.fetch(f"/v2/library/app/blobs/{blob}") for blob in blobs))
            assert {answer[0] for answer in answers} == {200}
        assert standin.count("token") == 1


async def test_a_token_that_is_revoked_in_mid_pull_is_renewed(tmp_path: Path) -> None:
    """RELIABILITY section 4: expired token mid-pull: one refresh, replay."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        standin.bearer = Bearer()
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            await node.fetch(TAG)
            standin.bearer.revoke()
            assert (await node.fetch(f"/v2/library/app/blobs/{image.config}"))[0] == 200
        assert standin.count("token") == 2


async def test_a_manifest_of_other_bytes_than_asked_is_502_and_not_kept(tmp_path: Path) -> None:
    """RELIABILITY A6: GET by digest whose upstream returns another valid manifest: 502 and not stored."""
    async with Standin() as standin:
        image, other = standin.add_image("library/app", "v1"), standin.add_image("library/app", "v2")
        right = standin.manifests["library/app", image.digest]
        standin.manifests["library/app", image.digest] = standin.manifests["library/app", other.digest]
        async with running(tmp_path, upstreams=[cached(standin)], clocks=CLOCKS) as node:
            for reference in (image.digest, "v1"):
                assert (await node.fetch(f"/v2/library/app/manifests/{reference}"))[0] == 502
            standin.manifests["library/app", image.digest] = right
            assert (await node.fetch(TAG))[2] == image.manifest


async def test_an_upstream_that_has_had_enough_of_calls_is_left_alone(tmp_path: Path) -> None:
    """Issue section 4: a circuit breaker per upstream: refusals at once instead of call after call."""
    async with Standin() as standin:
        standin.fault = Fault(status=500)
        async with running(tmp_path, upstreams=[cached(standin)], clocks=CLOCKS) as node:
            for number in range(10):
                await node.fetch(f"/v2/library/app/manifests/v{number}")
            calls = standin.count()
            status, headers, _ = await node.fetch("/v2/library/app/manifests/last")
            assert (status, standin.count()) == (503, calls)
            assert int(headers["Retry-After"]) >= 1


async def test_with_few_calls_left_only_what_nobody_here_has_is_asked(tmp_path: Path) -> None:
    """Issue section 4: `ratelimit-*` obeyed with a budget: digest misses first, then new tags, then revalidation."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        cold = standin.add_image("library/app", "v2")
        async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=0)]) as node:
            standin.ratelimit = (10, 100, 21_600)
            await node.fetch(TAG)
            standin.forget()
            status, headers, _ = await node.fetch(TAG)
            assert (status, "Warning" in headers, standin.count()) == (200, True, 0)
            standin.ratelimit = (4, 100, 21_600)
            assert (await node.fetch("/v2/library/app/manifests/v2"))[0] == 200
            assert (await node.fetch("/v2/library/app/manifests/v3"))[0] == 503
            assert (await node.fetch(f"/v2/library/app/blobs/{cold.config}"))[0] == 200
            assert (await node.fetch(f"/v2/library/app/blobs/{image.config}"))[0] == 200
