"""Uploads to another registry: a file's bytes, paced, resumed where a cut left them.

Source: OCI distribution-spec v1.1, "Pushing blobs". A small blob is one PUT; of a larger one the registry is asked
after a cut how far it has come, also when its order is tried again later.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import aiohttp
from yarl import URL

from mirror.oci.digest import Digest
from mirror.oci.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable
from mirror.upstream.push_wire import Body, PushWire, Request
from mirror.upstream.throttle import Throttle

TRIES: Final = 5  # of a chunk, without a byte gained
PAUSE_S: Final = 0.2  # after a cut, doubled with each try in vain
SMALL_BYTES: Final = 256 * 1024  # sent with the PUT that ends the upload: nothing worth resuming
UNFINISHED_MAX: Final = 256  # uploads that may go on after a longer cut: more than there are workers
_OCTETS: Final = {"Content-Type": "application/octet-stream"}

_CUT: Final = (UpstreamUnavailable, UpstreamTimeout)

Key = tuple[str, Digest]  # the repository there, and the blob
OnBytes = Callable[[int], object]  # told of bytes as they go


@dataclass(slots=True)
class _Upload:
    """An upload at the registry: where it goes on, and how many bytes it has."""

    place: URL
    scope: str
    offset: int = 0


class Uploads:
    """The uploads to one registry. `chunk_bytes` of one PATCH, 0 for all at once."""

    def __init__(self, wire: PushWire, throttle: Throttle, sent: OnBytes, chunk_bytes: int) -> None:
        self._wire = wire
        self._throttle = throttle
        self._sent = sent
        self._chunk_bytes = chunk_bytes
        self._unfinished: dict[Key, _Upload] = {}

    async def put(self, key: Key, begin: Request, path: Path, size: int) -> None:
        """Send a file as the blob `key`, unless `begin` mounts it. Raises UpstreamError and its kin."""
        upload = await self._begun(key) or await self._begin(begin)
        if upload is None:
            return
        try:
            await self._finish(upload, key[1], path, size)
        except _CUT:
            self._unfinished[key] = upload
            if len(self._unfinished) > UNFINISHED_MAX:
                del self._unfinished[next(iter(self._unfinished))]
            raise

    async def _begin(self, begin: Request) -> _Upload | None:
        """Begin an upload; None when the blob was mounted and needs none."""
        async with self._wire.asked(begin) as response:
            self._wire.refuse_missing(response)
            return None if response.status == 201 else _Upload(self._wire.place(response), begin.scope)

    async def _begun(self, key: Key) -> _Upload | None:
        """Return the upload that a cut left unfinished, as far as it has come; None where there is none any more."""
        upload = self._unfinished.get(key)
        if upload is not None:
            is_known = await self._look(upload)
            del self._unfinished[key]
            return upload if is_known else None
        return None

    async def _finish(self, upload: _Upload, digest: Digest, path: Path, size: int) -> None:
        """Send what is missing, and say that it was all."""
        is_small = not upload.offset and size <= SMALL_BYTES
        if not is_small:
            await self._send(upload, path, size)
        request = Request("PUT", upload.place.update_query(digest=str(digest)), upload.scope)
        if is_small:
            headers = {**_OCTETS, "Content-Length": str(size)}
            request = replace(request, headers=headers, body=self._bytes(path, 0, size))
        async with self._wire.asked(request) as response:
            self._wire.refuse_missing(response)

    async def _send(self, upload: _Upload, path: Path, size: int) -> None:
        """Send a file's bytes to an upload, from where it stands."""
        tries = 0
        while upload.offset < size:
            start = upload.offset
            try:
                await self._send_chunk(upload, path, min(start + (self._chunk_bytes or size), size))
            except _CUT:
                await self._look_again(upload, tries)
            tries = 0 if upload.offset > start else tries + 1
            if tries >= TRIES:
                raise UpstreamUnavailable(f"{self._wire.what} takes no bytes")

    async def _send_chunk(self, upload: _Upload, path: Path, end: int) -> None:
        start = upload.offset
        headers = {**_OCTETS, "Content-Length": str(end - start)}
        if start or self._chunk_bytes:
            headers["Content-Range"] = f"{start}-{end - 1}"
        request = Request("PATCH", upload.place, upload.scope, headers, body=self._bytes(path, start, end))
        async with self._wire.asked(request) as response:
            self._wire.refuse_missing(response)
            upload.place, upload.offset = self._wire.place(response), end

    async def _look_again(self, upload: _Upload, tries: int) -> None:
        """Ask an upload how far it has come, after a moment that grows with each try."""
        await asyncio.sleep(PAUSE_S * 2**tries)
        if not await self._look(upload):
            raise UpstreamError(f"{self._wire.what} has forgotten an upload")

    async def _look(self, upload: _Upload) -> bool:
        """Ask how many bytes of an upload are there, and where it goes on; False where it is not known any more."""
        async with self._wire.asked(Request("GET", upload.place, upload.scope)) as response:
            if response.status == 404:
                return False
            if "Location" in response.headers:
                upload.place = self._wire.place(response)
            upload.offset = _received(response)
            return True

    def _bytes(self, path: Path, start: int, end: int) -> Body:
        """Make a body of a part of a file, read in a thread, no faster than the cap allows."""

        async def read(taken: Callable[[], None]) -> AsyncIterator[bytes]:
            at, piece = start, self._throttle.piece_bytes
            file = await asyncio.to_thread(path.open, "rb")
            try:
                await asyncio.to_thread(file.seek, at)
                while at < end and (data := await asyncio.to_thread(file.read, min(piece, end - at))):
                    await self._throttle.take(len(data))
                    taken()
                    yield data
                    at += len(data)
                    self._sent(len(data))
            finally:
                await asyncio.to_thread(file.close)

        return read


def _received(response: aiohttp.ClientResponse) -> int:
    """Read a status's `Range`: `0-0` is said of no byte as of one, so of one it is sent again."""
    last = response.headers.get("Range", "0-0").rpartition("-")[2]
    return int(last) + 1 if last.isdigit() and last != "0" else 0
