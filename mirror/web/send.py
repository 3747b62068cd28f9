"""Sending bytes: from memory, from a file, from a file that still grows; whole, in one range, in several.

The kernel copies files to sockets (`sendfile`). A body that cannot be completed is cut before its Content-Length: a
client must never take a wrong or short one for whole (RELIABILITY section 4).
"""

import asyncio
import io
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from typing import Final, Protocol

from aiohttp import web

from mirror.oci.errors import RegistryError, StorageFull
from mirror.oci.ranges import Span, parse_range
from mirror.registry.fill import Fill
from mirror.registry.passages import Passage
from mirror.registry.pulled import FillingBlob, OpenBlob, PassingBlob, PulledBlob
from mirror.web.heads import Headers, last_headers
from mirror.web.slow import SlowClock

SEND_BYTES_MAX: Final = 16 * 1024 * 1024  # one sendfile request: bounds what an aborting reader leaves queued
CLIENT_LOOK_S: Final = 1.0  # how long a handler outlives a client who leaves while it waits for upstream
READ_BYTES: Final = 256 * 1024  # one read where TLS without kernel help needs the bytes in memory


class Body(Protocol):
    """Bytes that can be sent span by span."""

    async def send(self, request: web.BaseRequest, response: web.StreamResponse, span: Span) -> None: ...


class SmallBody:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def send(self, request: web.BaseRequest, response: web.StreamResponse, span: Span) -> None:  # noqa: ARG002
        await response.write(self._data[span.start : span.end])


class FileBody:
    """A complete file."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file

    async def send(self, request: web.BaseRequest, response: web.StreamResponse, span: Span) -> None:
        await _send_file(request, response, self._file, span)


class FillBody:
    """A file that grows: each piece goes out when the fill says that it may. On a full disk the rest is passed on."""

    def __init__(self, fill: Fill, passage: Passage) -> None:
        self._fill = fill
        self._passage = passage

    async def send(self, request: web.BaseRequest, response: web.StreamResponse, span: Span) -> None:
        at = span.start
        while at < span.end:
            try:
                end = min(await self._readable(request, at), span.end)
            except StorageFull:
                await _send_chunks(request, response, self._passage.rest(Span(at, span.end), self._fill.staged))
                return
            await _send_file(request, response, self._fill.staged.file, Span(at, end))
            at = end

    async def _readable(self, request: web.BaseRequest, at: int) -> int:
        """Wait for bytes at `at`, as long as the client is there: nothing else tells that it hung up."""
        while True:
            _check_client(request)
            with suppress(TimeoutError):
                async with asyncio.timeout(CLIENT_LOOK_S):
                    return await self._fill.readable(at)


class PassBody:
    """Bytes that come from upstream and are not kept."""

    def __init__(self, passage: Passage) -> None:
        self._passage = passage

    async def send(self, request: web.BaseRequest, response: web.StreamResponse, span: Span) -> None:
        await _send_chunks(request, response, self._passage.read(span))


async def _send_chunks(
    request: web.BaseRequest, response: web.StreamResponse, chunks: AsyncGenerator[bytes, None]
) -> None:
    async with aclosing(chunks):
        async for chunk in chunks:
            _check_client(request)
            await response.write(chunk)


async def _send_file(request: web.BaseRequest, response: web.StreamResponse, file: io.FileIO, span: Span) -> None:
    for start in range(span.start, span.end, SEND_BYTES_MAX):
        count = min(SEND_BYTES_MAX, span.end - start)
        transport = _check_client(request)
        try:
            sent = transport.sendfile(file, start, count)  # type: ignore[attr-defined] # aiofastnet's own
        except (NotImplementedError, AttributeError):
            await _copy(response, file, Span(start, start + count))
            continue
        if sent is not None:
            await sent
    # The kernel ends at the end of a file without a word: what follows on the wire would be taken for its rest.
    if os.fstat(file.fileno()).st_size < span.end:
        raise ConnectionResetError("the file has become shorter")


def _check_client(request: web.BaseRequest) -> asyncio.Transport:
    """Return the connection of a client that is still there. Raises ConnectionResetError."""
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client has left")
    return transport


async def _copy(response: web.StreamResponse, file: io.FileIO, span: Span) -> None:
    """Send through memory, where the transport cannot take a file: TLS without kernel TLS."""
    for start in range(span.start, span.end, READ_BYTES):
        data = await asyncio.to_thread(os.pread, file.fileno(), min(READ_BYTES, span.end - start), start)
        await response.write(data)


def wanted_spans(request: web.BaseRequest, size: int, etag: str) -> Sequence[Span] | None:
    """Return the ranges asked for; None = the whole. Raises RangeNotSatisfiable. RFC 9110 section 13.1.5: If-Range.

    Of no bytes any range is the whole: no range would fit, and some clients range every request and fail on a 416.
    """
    if_range = request.headers.get("If-Range")
    if request.method != "GET" or not size or (if_range is not None and if_range != etag):
        return None
    return parse_range(",".join(request.headers.getall("Range", ())) or None, size)


async def send(request: web.BaseRequest, headers: Headers, size: int, body: Body) -> web.StreamResponse:
    """Answer GET with `body`, or the ranges of it that were asked for. Raises RangeNotSatisfiable."""
    fields = dict(headers)
    spans = wanted_spans(request, size, fields["ETag"])
    if spans is None:
        return await _send_one(request, 200, headers, Span(0, size), body)
    if len(spans) == 1:
        headers = [*headers, ("Content-Range", spans[0].content_range(size))]
        return await _send_one(request, 206, headers, spans[0], body)
    return await _send_several(request, headers, size, spans, body)


async def _send_one(
    request: web.BaseRequest, status: int, headers: Headers, span: Span, body: Body
) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=[*headers, *last_headers()])
    response.headers["Content-Length"] = str(len(span))
    return await _stream(request, response, [span], body)


async def _send_several(
    request: web.BaseRequest, headers: Headers, size: int, spans: Sequence[Span], body: Body
) -> web.StreamResponse:
    """Answer multipart/byteranges (RFC 9110 section 14.6), as c/image asks of zstd:chunked layers."""
    boundary = secrets.token_hex(16)
    kind = dict(headers)["Content-Type"]
    parts = [
        f"\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {span.content_range(size)}\r\n\r\n".encode()
        for span in spans
    ]
    end = f"\r\n--{boundary}--\r\n".encode()
    response = web.StreamResponse(status=206, headers=[*headers, *last_headers()])
    response.headers["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
    response.headers["Content-Length"] = str(sum(map(len, parts)) + sum(map(len, spans)) + len(end))
    return await _stream(request, response, spans, body, parts, end)


async def _stream(
    request: web.BaseRequest,
    response: web.StreamResponse,
    spans: Sequence[Span],
    body: Body,
    parts: Sequence[bytes] = (),
    end: bytes = b"",
) -> web.StreamResponse:
    await response.prepare(request)
    try:
        for number, span in enumerate(spans):
            if parts:
                await response.write(parts[number])
            await body.send(request, response, span)
        if end:
            await response.write(end)
    except RegistryError as error:
        cut(request)
        raise ConnectionResetError(error.message) from error
    except BaseException:
        cut(request)
        raise
    await response.write_eof()
    return response


def cut(request: web.BaseRequest) -> None:
    """Break the connection in mid-body, at once: nothing that is still queued may look like a clean end."""
    if request.transport is not None:
        request.transport.abort()


async def send_blob(request: web.BaseRequest, headers: Headers, blob: PulledBlob) -> web.StreamResponse:
    """Answer GET of a blob from wherever it is."""
    if isinstance(blob, FillingBlob):
        with blob.fill as fill:
            return await send(request, headers, blob.size, FillBody(fill, blob.passage))
    if isinstance(blob, PassingBlob):
        async with blob.passage as passage:
            spans = wanted_spans(request, blob.size, dict(headers)["ETag"]) or [Span(0, blob.size)]
            await blob.begin(spans[0])
            return await send(request, headers, blob.size, PassBody(passage))
    if isinstance(blob, OpenBlob):
        with io.FileIO(blob.fd, closefd=True) as file:
            return await send(request, headers, blob.size, FileBody(file))
    return await send(request, headers, blob.size, SmallBody(blob.data))


async def read_body(request: web.BaseRequest, slow: SlowClock, size_max: int, too_large: RegistryError) -> bytes:
    """Read a body whole, under the clock. Raises `too_large` for more than `size_max` bytes."""
    data = bytearray()
    with slow.reading(request.transport):
        async for chunk in chunks_of(request):
            data += chunk
            if len(data) > size_max:
                raise too_large
    return bytes(data)


async def chunks_of(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """The body of a request as it comes; a client that waits to be told may begin (RFC 9110 section 10.1.1)."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    async for chunk in request.content.iter_any():
        yield chunk
