"""TLS: the same registry behind it, a certificate that may change while it serves."""

import asyncio
import hashlib
import io
import signal
import ssl
from pathlib import Path

import aiohttp
from certificates import certify, trust
from processes import Process, serving
from standin import Standin, sha256

LARGE = bytes(range(251)) * 40_000  # 10 MB: several pieces of a file
WAIT_S_MAX = 20.0


async def subject(port: int, trusted: ssl.SSLContext) -> str:
    """Shake hands anew; return whose certificate the node showed."""
    _, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port, ssl=trusted), WAIT_S_MAX)
    shown = writer.get_extra_info("peercert")["subject"]
    writer.transport.abort()
    return str(dict(shown[0])["commonName"])


async def read(session: aiohttp.ClientSession, node: Process, path: str, **headers: str) -> tuple[int, bytes]:
    async with session.get(f"https://127.0.0.1:{node.port}{path}", headers=headers) as response:
        return response.status, await response.read()


async def test_all_sizes_are_served_over_tls_without_the_kernels_help(tmp_path: Path) -> None:
    """Contract: `tls`; large blobs, ranges and growing files go through memory where `sendfile` cannot."""
    certificate, key = certify(tmp_path, "first")
    async with (
        Standin() as standin,
        serving(tmp_path, upstreams={"docker.io": standin.url}, certificate=str(certificate), key=str(key)) as node,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust(certificate))) as session,
    ):
        small, large, cold = b"small", LARGE, LARGE[1:]
        image = standin.add_image("library/app", "v1", [cold])
        for data in (small, large):
            url = f"https://127.0.0.1:{node.port}/v2/own/app/blobs/uploads/?digest={sha256(data)}"
            async with session.post(url, data=io.BytesIO(data)) as response:
                assert response.status == 201
        assert await read(session, node, f"/v2/own/app/blobs/{sha256(small)}") == (200, small)
        assert await read(session, node, f"/v2/own/app/blobs/{sha256(large)}") == (200, large)
        ranged = await read(session, node, f"/v2/own/app/blobs/{sha256(large)}", Range="bytes=1000000-9000000")
        assert ranged == (206, large[1_000_000:9_000_001])
        assert await read(session, node, "/v2/library/app/manifests/v1") == (200, image.manifest)
        for _ in range(2):  # from the fill, then from the file
            status, body = await read(session, node, f"/v2/library/app/blobs/{image.layers[0]}")
            assert (status, hashlib.sha256(body).digest()) == (200, hashlib.sha256(cold).digest())


async def test_a_renewed_certificate_is_taken_up_on_sighup(tmp_path: Path) -> None:
    """Contract: reloaded on SIGHUP; a pair that does not match changes nothing, and nobody is cut off."""
    certificate, key = certify(tmp_path, "first")
    renewed, renewed_key = certify(tmp_path, "second")
    trusted = trust(certificate, renewed)
    async with (
        serving(tmp_path, certificate=str(certificate), key=str(key)) as node,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted, limit=1)) as session,
    ):
        assert (await read(session, node, "/v2/"))[0] == 200
        assert await subject(node.port, trusted) == "first"

        certificate.write_bytes(renewed.read_bytes())
        node.signal(signal.SIGHUP)
        await node.logged("certificate not reloaded")
        assert await subject(node.port, trusted) == "first"

        key.write_bytes(renewed_key.read_bytes())
        node.signal(signal.SIGHUP)
        await node.logged("certificate reloaded")
        assert await subject(node.port, trusted) == "second"
        assert (await read(session, node, "/v2/"))[0] == 200
