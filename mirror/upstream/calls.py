"""Calls: a conversation let through by the upstream's health, and ended in time.

Source: RELIABILITY section 4. Where the clocks of the header phase live; a blob's body runs under its own (`body.py`).
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
from yarl import URL

from mirror.oci.errors import UpstreamError, UpstreamTimeout
from mirror.rules.freshness import Need
from mirror.upstream import limits
from mirror.upstream.body import read_small
from mirror.upstream.conversation import Ask, Conversation
from mirror.upstream.health import Health
from mirror.upstream.limits import Limits
from mirror.upstream.pages import next_page


class Calls:
    """The calls to one upstream."""

    def __init__(self, conversation: Conversation, health: Health, clocks: Limits) -> None:
        self.conversation = conversation
        self._health = health
        self._clocks = clocks

    @asynccontextmanager
    async def admitted(self, need: Need, within_s: float | None = None) -> AsyncIterator[None]:
        """Let one call through and end it in time: token, retries, redirects and a small body together.

        Raises UpstreamUnavailable when now is not the time to ask, UpstreamTimeout when there was no answer in time.
        """
        self._health.admit(need)
        started_at = time.monotonic()
        within_s = within_s or self._clocks.headers_s
        try:
            async with asyncio.timeout(within_s):
                yield
        except TimeoutError:
            self._health.timed_out(started_at)
            raise UpstreamTimeout(f"upstream {self._health.upstream} gave no answer within {within_s:g} s") from None
        finally:
            self._health.breaker.left()

    @asynccontextmanager
    async def answer(self, ask: Ask, need: Need) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask within one admitted call; the answer is released at the end. Raises as `Conversation.answer` does."""
        async with self.admitted(need):
            response = await self.conversation.answer(ask)
            try:
                yield response
            finally:
                response.release()

    async def pages(self, ask: Ask, need: Need) -> list[bytes]:
        """Return the bodies of all pages of a list, in turn. Raises UpstreamError beyond the limits."""
        upstream, bodies = self._health.upstream, list[bytes]()
        following: URL | None = ask.url
        try:
            async with asyncio.timeout(self._clocks.listing_s):
                while following is not None:
                    if len(bodies) == limits.LIST_PAGES_MAX:
                        raise UpstreamError(f"upstream {upstream} lists more than {limits.LIST_PAGES_MAX} pages")
                    async with self.answer(replace(ask, url=following), need) as response:
                        bodies.append(await read_small(response, limits.SMALL_BYTES_MAX))
                        following = next_page(response.headers.getall("Link", []), response.url)
                    if sum(map(len, bodies)) > limits.LIST_BYTES_MAX:
                        raise UpstreamError(f"upstream {upstream} lists more than {limits.LIST_BYTES_MAX} bytes")
        except TimeoutError:
            raise UpstreamTimeout(f"upstream {upstream} still listed after {self._clocks.listing_s:g} s") from None
        return bodies
