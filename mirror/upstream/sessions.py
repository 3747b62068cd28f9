"""Connection pools: one for the configured registry, one for wherever it sends us.

Source: aiohttp's client reference; RELIABILITY section 5.5 for what it does unasked: it unpacks bodies, follows
redirects and reads proxy variables, all of which is switched off here. Never sees a credential.
"""

import asyncio
import functools
import ssl
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from mirror.oci.errors import UpstreamUnavailable
from mirror.rules.routing import UpstreamRule
from mirror.upstream import limits
from mirror.upstream.addresses import Guard
from mirror.upstream.limits import Limits

_HEADERS: Final = {"Accept-Encoding": "identity"}  # a digest is over plain bytes


class Sessions:
    """The two pools of one upstream, opened by the first call inside the running loop."""

    def __init__(
        self, rule: UpstreamRule, *, clocks: Limits, guard: Guard, user_agent: str, resolver: AbstractResolver | None
    ) -> None:
        self.home = URL(rule.url).origin()
        self._ca_file = rule.ca_file
        self._clocks = clocks
        self._guard = guard
        self._headers = {**_HEADERS, "User-Agent": user_agent}
        self._resolver = resolver
        self._opening = asyncio.Lock()
        self._open: tuple[aiohttp.ClientSession, aiohttp.ClientSession] | None = None
        self._closed = False

    def is_home(self, url: URL) -> bool:
        return url.origin() == self.home

    async def request(self, method: str, url: URL, headers: dict[str, str], data: Any = None) -> aiohttp.ClientResponse:
        """Ask once and return the answer's headers, whatever they say. Raises what aiohttp raises."""
        home, away = await self._sessions()
        session = home if self.is_home(url) else away
        return await session.request(method, url, headers=headers, data=data, allow_redirects=False)

    async def close(self) -> None:
        self._closed = True
        async with self._opening:
            sessions, self._open = self._open, None
        for session in sessions or ():
            await session.close()

    async def _sessions(self) -> tuple[aiohttp.ClientSession, aiohttp.ClientSession]:
        if self._open is not None:
            return self._open
        async with self._opening:
            if self._closed:
                raise UpstreamUnavailable("this node is closing its connections")
            if self._open is None:
                # Reading the system's certificates takes tens of milliseconds.
                tls = await asyncio.to_thread(_tls, self._ca_file)
                self._open = self._session(tls, guarded=False), self._session(tls, guarded=True)
        return self._open

    def _session(self, tls: ssl.SSLContext, *, guarded: bool) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=limits.CONNECTIONS_MAX,
            limit_per_host=limits.CONNECTIONS_PER_HOST,
            keepalive_timeout=limits.KEEPALIVE_S,
            ttl_dns_cache=limits.DNS_CACHE_S,
            resolver=self._resolver,
            ssl=tls,
            socket_factory=self._guard.away_socket if guarded else self._guard.home_socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            auto_decompress=False,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._clocks.connect_s),
            read_bufsize=limits.READ_BUFFER_BYTES,
            raise_for_status=False,
        )


@functools.cache
def _tls(ca_file: str) -> ssl.SSLContext:
    """Trust the system's authorities and the rule's own: a private registry may redirect to a public store.

    Kept: a context with the system's authorities costs a megabyte, and most upstreams want the same.
    """
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    return context
