"""Bodies: bytes from other machines, counted, bounded and watched by a clock.

Source: RELIABILITY sections 4 and 5.5: aiohttp's `sock_read` never fires on a drip, and a close-delimited body that was
cut looks complete. Nothing here looks at the bytes; their digest is checked by whoever keeps them.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp

from mirror.oci.errors import UpstreamError, UpstreamTimeout
from mirror.oci.ranges import parse_answered_range
from mirror.upstream.limits import Limits


async def read_small(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """Read a whole body of at most `bytes_max`; the caller holds the clock. Raises UpstreamError."""
    too_large = UpstreamError(f"{response.url.host} sent more than {bytes_max} bytes")
    if (response.content_length or 0) > bytes_max:
        raise too_large
    data = bytearray()
    try:
        while chunk := await response.content.readany():
            data += chunk
            if len(data) > bytes_max:
                raise too_large
    except (aiohttp.ClientError, OSError):
        raise UpstreamError(f"{response.url.host} broke off after {len(data)} bytes") from None
    return bytes(data)


@dataclass(frozen=True, slots=True)
class BlobBody:
    """The bytes of a blob from `start` on; `size` is the whole blob's, None where upstream did not tell.

    `start` is 0 although another was asked when upstream ignored the range. Iterate once: chunks as they come.
    Raises UpstreamTimeout below the minimal rate and UpstreamError for a body that breaks off or has the wrong length.
    """

    start: int
    size: int | None
    etag: str
    _length: int | None
    _response: aiohttp.ClientResponse
    _clocks: Limits

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        clock = _StallClock(self._clocks)
        try:
            while chunk := await clock.watch(self._response.content):
                received += len(chunk)
                if self._length is not None and received > self._length:
                    break
                yield chunk
        except (aiohttp.ClientError, ConnectionError):
            raise UpstreamError(f"the blob's bytes broke off after {received}") from None
        if self._length is not None and received != self._length:
            raise UpstreamError(f"the blob has {received} bytes where {self._length} were announced")


def open_body(response: aiohttp.ClientResponse, start: int, end: int | None, clocks: Limits) -> BlobBody:
    """Read what a 200 or 206 to `bytes=start-` (up to, not including, `end`) announces.

    Raises UpstreamError when a 206 is not exactly what was asked: spliced bytes would only fail at the digest.
    """
    refuse_page(response)
    etag = response.headers.get("ETag", "")
    if response.status == 200:
        size = response.content_length
        return BlobBody(0, size, etag, size, response, clocks)
    answered = parse_answered_range(response.headers.get("Content-Range", ""))
    if answered is None or (start == 0 and end is None):
        raise UpstreamError(f"{response.url.host} answered a part that cannot be placed")
    span, size = answered
    wanted_end = end if size is None else min(end or size, size)
    if span.start != start or (wanted_end is not None and span.end != wanted_end):
        raise UpstreamError(
            f"{response.url.host} answered bytes {span.start}-{span.end} instead of {start}-{wanted_end}"
        )
    return BlobBody(start, size, etag, len(span), response, clocks)


def refuse_page(response: aiohttp.ClientResponse) -> None:
    """Raise UpstreamError for a page, such as a hotel's log-in, in place of a blob: before our client has headers."""
    if response.content_type == "text/html":
        raise UpstreamError(f"{response.url.host} answered a page of HTML instead of a blob")


class _StallClock:
    """Runs only while we wait: a slow reader on our side never makes an upstream look slow."""

    def __init__(self, clocks: Limits) -> None:
        self._clocks = clocks
        self._waited_s = 0.0
        self._received = 0

    async def watch(self, content: aiohttp.StreamReader) -> bytes:
        """Return the next chunk, b"" at the end. Raises UpstreamTimeout below the minimal rate."""
        loop = asyncio.get_running_loop()
        while True:
            started_at = loop.time()
            try:
                async with asyncio.timeout(self._clocks.stall_s - self._waited_s):
                    chunk = await content.readany()
            except TimeoutError:
                self._turn()
                continue
            self._waited_s += loop.time() - started_at
            self._received += len(chunk)
            if self._waited_s >= self._clocks.stall_s:
                self._turn()
            return chunk

    def _turn(self) -> None:
        """End a period: enough came, or it is a stall."""
        if self._received < self._clocks.stall_bytes_s_min * self._clocks.stall_s:
            raise UpstreamTimeout(
                f"the blob came slower than {self._clocks.stall_bytes_s_min} bytes/s for {self._clocks.stall_s:g} s"
            )
        self._waited_s, self._received = 0.0, 0
