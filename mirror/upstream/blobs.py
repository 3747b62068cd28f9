"""Blobs of one upstream: opened at the registry or at the place it last redirected to, a bounded number at once.

Source: issue section "Pull-through": "signed URL reused for resume". Passes bytes on; their digest is for the caller to
verify.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import aiohttp
from yarl import URL

from mirror.oci.digest import Digest
from mirror.oci.errors import RegistryError, UpstreamError, UpstreamUnavailable
from mirror.rules.freshness import Need
from mirror.upstream import limits
from mirror.upstream.body import BlobBody, open_body
from mirror.upstream.calls import Calls
from mirror.upstream.conversation import Ask
from mirror.upstream.limits import Limits
from mirror.upstream.places import Places

_PLACE_SHARE: Final = 0.3  # of the header time for a remembered place; the registry gets the rest


class Blobs:
    """Opens the bodies of blobs."""

    def __init__(self, upstream: str, home: URL, calls: Calls, clocks: Limits) -> None:
        self._upstream = upstream
        self._home = home
        self._calls = calls
        self._clocks = clocks
        self._places = Places()
        self._running = asyncio.Semaphore(limits.BODIES_MAX)

    @asynccontextmanager
    async def open(self, ask: Ask, name: str, digest: Digest, start: int, end: int | None) -> AsyncIterator[BlobBody]:
        """Open `ask` from `start` up to, not including, `end`. Raises BlobUnknown, UpstreamError and its kin."""
        await self._take_turn()
        try:
            response = await self._ask(replace(ask, headers=_range(start, end)), name, digest)
            try:
                yield open_body(response, start, end, self._clocks)
            finally:
                response.release()
        finally:
            self._running.release()

    async def _take_turn(self) -> None:
        try:
            async with asyncio.timeout(self._clocks.headers_s):
                await self._running.acquire()
        except TimeoutError:
            message = f"upstream {self._upstream}: {limits.BODIES_MAX} blobs are being fetched already"
            raise UpstreamUnavailable(message) from None

    async def _ask(self, ask: Ask, name: str, digest: Digest) -> aiohttp.ClientResponse:
        """Ask the place remembered from the last redirect, else (or when that fails) the registry."""
        response = await self._ask_place(ask, name, digest)
        if response is not None:
            return response
        async with self._calls.admitted(Need.DIGEST, self._clocks.headers_s * (1 - _PLACE_SHARE)):
            response = await self._calls.conversation.answer(ask)
        if response.url.origin() != self._home:
            self._places.remember(name, digest, response.url, time.monotonic())
        return response

    async def _ask_place(self, ask: Ask, name: str, digest: Digest) -> aiohttp.ClientResponse | None:
        place = self._places.find(name, digest, time.monotonic())
        if place is None:
            return None
        try:
            async with asyncio.timeout(self._clocks.headers_s * _PLACE_SHARE):
                return await self._calls.conversation.answer(replace(ask, url=place, unknown=UpstreamError))
        except (RegistryError, TimeoutError):
            self._places.forget(name, digest)
            return None


def _range(start: int, end: int | None) -> dict[str, str]:
    if not start and end is None:
        return {}
    return {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
