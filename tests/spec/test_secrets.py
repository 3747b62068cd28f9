"""Secrets: the password of an upstream is told to that upstream and to nobody else."""

import base64
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
from running import cached, running
from standin import Bearer, Fault, Standin

PASSWORD = "canary-7f3a9c"
SEALED = base64.b64encode(f"robot:{PASSWORD}".encode()).decode()


async def test_an_upstreams_password_goes_nowhere_else(tmp_path: Path, events: list[Any], capfd: Any) -> None:
    """DESIGN section 5: secrets never reach a log, an error, a metric, a redirect target or another upstream."""
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    told: list[str] = []
    async with Standin() as standin, Standin("127.0.0.2") as elsewhere, Standin("127.0.0.3") as other:
        standin.bearer = Bearer(username="robot", password=PASSWORD)
        standin.signed_at = elsewhere
        image = standin.add_image("library/app", "v1")
        upstreams = [
            cached(standin, username="robot", password_file=str(secret), tag_fresh_s=0, authorize="anonymous"),
            cached(other, name="other.example"),
        ]
        async with running(tmp_path / "store", upstreams=upstreams, access_log=True) as node:

            async def ask(path: str) -> int:
                # A log-in page in the place of a blob ends in a broken answer, as it must.
                with suppress(aiohttp.ClientError):
                    status, headers, body = await node.fetch(path)
                    told.extend((repr(headers), body.decode("latin-1")))
                    return int(status)
                return 0

            assert await ask("/v2/library/app/manifests/v1") == 200
            assert await ask(f"/v2/library/app/blobs/{image.layers[0]}") == 200
            assert elsewhere.count("signed") == 1
            await ask("/v2/other.example/library/app/manifests/v1")
            faults = [
                Fault(status=401),
                Fault(status=403),
                Fault(status=500),
                Fault(html=True),
                Fault(redirect=f"{other.url}{{target}}"),
                Fault(raw=b"HTTP/1.1 999 " + SEALED.encode() + b"\r\n\r\n"),
                Fault(on="token", status=401),
                Fault(headers={"WWW-Authenticate": f'Bearer realm="{other.url}/token",service="x"'}, status=401),
            ]
            for number, fault in enumerate(faults):
                standin.fault = fault
                standin.bearer.revoke()
                await ask(f"/v2/library/app/manifests/new{number}")
                await ask(f"/v2/library/app/blobs/sha256:{number:064d}")
            told.append((await node.fetch("/metrics"))[2].decode())
        assert any(SEALED in seen.headers.get("authorization", "") for seen in standin.seen), "never told at all"
    told += [repr(events), *capfd.readouterr()]
    told += [repr(seen) for stranger in (elsewhere, other) for seen in stranger.seen]
    assert not [text for text in told if PASSWORD in text or SEALED in text]
    assert not [seen for stranger in (elsewhere, other) for seen in stranger.seen if "authorization" in seen.headers]
