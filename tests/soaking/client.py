"""A client of a registry that believes nothing: images as they are pushed, and every byte compared when pulled."""

import hashlib
import io
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from mirror.oci.media import OCI_MANIFEST

Heard = tuple[int, Mapping[str, str], bytes]


class Wrong(Exception):
    """An answer that a client must not get."""


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(eq=False, slots=True)
class Image:
    """An image as pushed; `blobs` has the config first. Times are monotonic seconds."""

    name: str
    tag: str
    manifest: bytes
    blobs: Sequence[bytes]
    sent_at: float = 0.0
    pushed_at: float = math.inf
    is_leaving: bool = False
    digest: str = field(init=False)
    digests: tuple[str, ...] = field(init=False)  # of the blobs

    def __post_init__(self) -> None:
        self.digest = digest_of(self.manifest)
        self.digests = tuple(map(digest_of, self.blobs))


def make_image(name: str, tag: str, layers: Sequence[bytes]) -> Image:
    config = json.dumps({"of": f"{name}:{tag}"}).encode()
    kinds = ["application/vnd.oci.image.config.v1+json"] + ["application/vnd.oci.image.layer.v1.tar+gzip"] * len(layers)
    parts = [
        {"mediaType": kind, "digest": digest_of(blob), "size": len(blob)}
        for kind, blob in zip(kinds, (config, *layers), strict=True)
    ]
    body = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": parts[0], "layers": parts[1:]}
    return Image(name, tag, json.dumps(body).encode(), (config, *layers))


class Client:
    """A client of the registry at `url`."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def ask(self, method: str, path: str, **options: Any) -> Heard:
        """Send a request and return status, headers and body. Raises aiohttp.ClientError, TimeoutError."""
        address = URL(urljoin(self._url, path), encoded=True)
        async with self._session.request(method, address, allow_redirects=False, **options) as response:
            return response.status, response.headers, await response.read()

    async def upload(self, name: str, blob: bytes, pieces: int = 1) -> None:
        """Send a blob, all but the last of its pieces by PATCH. Raises Wrong."""
        place = await self.begin(name)
        step = -(-len(blob) // pieces)
        starts = range(0, len(blob), step)
        for start in starts[:-1]:
            place = await self.send(place, blob[start : start + step])
        where = f"{place}{'&' if '?' in place else '?'}digest={digest_of(blob)}"
        status, _, body = await self.ask("PUT", where, data=io.BytesIO(blob[starts[-1] :]))
        expect(status == 201, "PUT blob", status, body)

    async def begin(self, name: str) -> str:
        status, headers, body = await self.ask("POST", f"/v2/{name}/blobs/uploads/")
        expect(status == 202, "POST upload", status, body)
        return headers["Location"]

    async def send(self, place: str, data: bytes) -> str:
        status, headers, body = await self.ask("PATCH", place, data=io.BytesIO(data))
        expect(status == 202, "PATCH upload", status, body)
        return headers["Location"]

    async def put(self, image: Image) -> Heard:
        path = f"/v2/{image.name}/manifests/{image.tag}"
        return await self.ask("PUT", path, data=image.manifest, headers={"Content-Type": OCI_MANIFEST})

    async def push(self, image: Image, pieces: int = 1) -> Heard:
        """Ask for each blob, send what is not there, then the manifest; return the answer to that."""
        image.sent_at = time.monotonic()
        for digest, blob in zip(image.digests, image.blobs, strict=True):
            status, _, _ = await self.ask("HEAD", f"/v2/{image.name}/blobs/{digest}")
            expect(status in (200, 404), "HEAD blob", status)
            if status == 404:
                await self.upload(image.name, blob, pieces)
        answer = await self.put(image)
        image.pushed_at = time.monotonic() if answer[0] == 201 else math.inf
        return answer

    async def pull(self, image: Image, reference: str) -> bool:
        """Pull an image whole and compare all bytes; False where any of it is answered 404. Raises Wrong."""
        paths = [(f"manifests/{reference}", image.manifest)]
        blobs = [(f"blobs/{digest}", blob) for digest, blob in zip(image.digests, image.blobs, strict=False)]
        for path, wanted in paths + blobs:
            status, _, body = await self.ask("GET", f"/v2/{image.name}/{path}", headers={"Accept": OCI_MANIFEST})
            if status == 404:
                return False
            expect(status == 200, f"GET {image.name} {path}", status, body)
            expect(body == wanted, f"GET {image.name} {path}", "other bytes")
        return True


def expect(is_so: bool, what: str, *found: object) -> None:
    if not is_so:
        raise Wrong(f"{what}: {' '.join(map(str, found))[:300]}")
