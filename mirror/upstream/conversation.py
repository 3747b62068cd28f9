"""A conversation with a registry: challenge, credential, replay, redirects by hand.

Source: distribution-spec 1.1; RELIABILITY A17 and A18. The credential goes to the configured origin and its trusted
realm, and to nobody else: once a redirect has left that origin, nothing of ours goes along.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import aiohttp
from yarl import URL

from mirror.oci.errors import RegistryError, UpstreamDenied, UpstreamError
from mirror.upstream.authorization import Authorization
from mirror.upstream.body import read_small
from mirror.upstream.health import Health
from mirror.upstream.limits import LOCATION_CHARS_MAX, REDIRECTS_MAX, TOKEN_BYTES_MAX
from mirror.upstream.password import Credential
from mirror.upstream.wire import Wire

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Ask:
    """One read: what is asked where, the scope its token needs, and what a 404 to it means."""

    method: Literal["GET", "HEAD"]
    url: URL
    what: str
    scope: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    unknown: type[RegistryError] = UpstreamError


class Conversation:
    """Asks one upstream, as anonymous or with its credential."""

    def __init__(self, home: URL, wire: Wire, credential: Credential, health: Health) -> None:
        self._wire = wire
        self._credential = credential
        self._health = health
        self._authorization = Authorization(health.upstream, home, credential, self._ask_realm)

    async def answer(self, ask: Ask) -> aiohttp.ClientResponse:
        """Return the 200 or 206 at the end of the redirects; the caller releases it.

        Raises `ask.unknown` for a 404, UpstreamDenied for 401 and 403, UpstreamError and its kin for the rest.
        """
        url, trusted = ask.url, True
        for _ in range(REDIRECTS_MAX + 1):
            trusted = trusted and self._wire.is_home(url)
            response = await (self._authorized(ask, url) if trusted else self._send(ask, url))
            if response.status not in _REDIRECTS:
                return self._checked(response, ask)
            response.release()
            url = self._next_place(url, response.headers.get("Location", ""))
        raise UpstreamError(f"upstream {self._health.upstream} redirects more than {REDIRECTS_MAX} times")

    async def ping(self, url: URL) -> None:
        """Ask for `url`; any answer will do. Raises UpstreamError and its kin when there is none."""
        response = await self._wire.send("GET", url, {})
        response.release()
        self._health.denied()

    async def _send(self, ask: Ask, url: URL, authorization: str = "") -> aiohttp.ClientResponse:
        headers = {**ask.headers, "Authorization": authorization} if authorization else dict(ask.headers)
        return await self._wire.send(ask.method, url, headers)

    async def _authorized(self, ask: Ask, url: URL) -> aiohttp.ClientResponse:
        """Ask with what the last challenge wanted; a 401 is a new challenge, met once."""
        shown = await self._authorization.header(ask.scope)
        response = await self._send(ask, url, shown)
        if response.status != 401:
            return response
        response.release()
        fresh = await self._authorization.after(response, ask.scope, shown)
        return await self._send(ask, url, fresh) if fresh else response

    async def _ask_realm(self, url: URL) -> bytes:
        headers = {"Authorization": await self._credential.basic()} if self._credential else {}
        response = await self._wire.send("GET", url, headers, realm=True)
        try:
            if response.status in (400, 401, 403, 404):
                self._health.denied()
                raise UpstreamDenied(f"upstream {self._health.upstream} gives us no token: {response.status}")
            if response.status != 200:
                raise UpstreamError(f"the token endpoint of {self._health.upstream} answered {response.status}")
            self._refuse_coding(response)
            return await read_small(response, TOKEN_BYTES_MAX)
        finally:
            response.release()

    def _checked(self, response: aiohttp.ClientResponse, ask: Ask) -> aiohttp.ClientResponse:
        try:
            self._check(response, ask)
        except RegistryError:
            response.release()
            raise
        return response

    def _check(self, response: aiohttp.ClientResponse, ask: Ask) -> None:
        upstream = self._health.upstream
        if response.status in (401, 403):
            self._health.denied()
            raise UpstreamDenied(f"upstream {upstream} does not let us read {ask.what}: {response.status}")
        if response.status == 404:
            raise ask.unknown(f"upstream {upstream} has no {ask.what}")
        if response.status not in (200, 206):
            raise UpstreamError(f"upstream {upstream} answered {response.status} for {ask.what}")
        self._refuse_coding(response)

    def _refuse_coding(self, response: aiohttp.ClientResponse) -> None:
        """A digest over coded or over plain bytes? Nobody can tell, so neither is taken (RELIABILITY A3)."""
        coding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise UpstreamError(f"upstream {self._health.upstream} sent a coded answer that nobody asked for")

    def _next_place(self, url: URL, location: str) -> URL:
        """Read a Location. Raises UpstreamError for other schemes, a step down from https, or user-info."""
        place = _join(url, location)
        if place is None or (url.scheme == "https" and place.scheme != "https"):
            raise UpstreamError(f"upstream {self._health.upstream} redirects to a place that must not be followed")
        return place


def _join(url: URL, location: str) -> URL | None:
    """Return the place that `location` names, seen from `url`; None when it is none to ask over HTTP."""
    if not location.isascii() or not location.isprintable() or not 0 < len(location) <= LOCATION_CHARS_MAX:
        return None
    try:
        # Taken as encoded: a signature covers the very characters.
        named = URL(location, encoded=True)
        place = url.join(named).with_fragment(None)
        # `http:///x` would be joined onto our own host; a port that no socket has raises only when it is read.
        placed = bool(place.port and (named.raw_host or not named.scheme))
    except ValueError:
        return None
    if " " in location or not placed:
        return None
    return place if place.scheme in ("http", "https") and place.user is None and place.password is None else None
