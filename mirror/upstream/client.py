"""The upstream client: what this node asks of another registry, in the words of the distribution specification.

Source: OCI distribution-spec v1.1; issue section "Pull-through". Every call is an idempotent read that ends in time,
with a checked answer or an error of `oci.errors`; a 404 of ours is a 404 that upstream said. Keeps no registry state.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from mirror.oci import media
from mirror.oci.digest import Digest
from mirror.oci.errors import (
    BlobUnknown,
    ManifestUnknown,
    NameUnknown,
    RegistryError,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from mirror.oci.names import Reference
from mirror.rules.freshness import Need
from mirror.rules.routing import UpstreamRule
from mirror.upstream import limits
from mirror.upstream.addresses import FORBIDDEN, Guard, Network
from mirror.upstream.body import BlobBody, open_body, read_small
from mirror.upstream.conversation import Ask, Conversation
from mirror.upstream.health import Health
from mirror.upstream.limits import Limits
from mirror.upstream.manifests import FetchedManifest, ManifestHead, read_head, read_manifest
from mirror.upstream.pages import next_page, read_referrers, read_tags
from mirror.upstream.password import Credential
from mirror.upstream.places import Places
from mirror.upstream.sessions import Sessions
from mirror.upstream.wire import Wire

_MANIFEST: Final = {"Accept": media.ACCEPT}
_INDEX: Final = {"Accept": media.OCI_INDEX}
_PLACE_SHARE: Final = 0.3  # of the header time for a remembered place; the registry gets the rest


class Upstream:
    """One upstream registry. Made anywhere, used in one running loop, closed there."""

    def __init__(
        self,
        rule: UpstreamRule,
        *,
        user_agent: str = "mirror",
        clocks: Limits | None = None,
        resolver: AbstractResolver | None = None,
        forbidden: Sequence[Network] = FORBIDDEN,
    ) -> None:
        self.rule = rule
        self._clocks = clocks or Limits()
        self._sessions = Sessions(
            rule, clocks=self._clocks, guard=Guard(forbidden), user_agent=user_agent, resolver=resolver
        )
        self._health = Health(rule.name)
        wire = Wire(self._sessions, self._health, self._clocks)
        self._conversation = Conversation(self._sessions.home, wire, Credential(rule), self._health)
        self._base = URL(rule.url.rstrip("/") + "/v2/")
        self._bodies = asyncio.Semaphore(limits.BODIES_MAX)
        self._places = Places()

    @property
    def last_success_at(self) -> float:
        """When the registry last answered (monotonic seconds); 0.0 for never."""
        return self._health.breaker.last_success_at

    def reachable(self, now: float) -> bool:
        """Say whether a call would be let through at `now` (monotonic seconds): breaker closed, no pause asked."""
        return self._health.reachable(now)

    async def ping(self, need: Need) -> None:
        """Find out whether the registry answers at all; below 500 any answer will do."""
        async with self._call(need):
            await self._conversation.ping(self._base)

    async def head_manifest(self, name: str, reference: Reference, need: Need) -> ManifestHead:
        """Ask what `reference` names. Never turns into a GET. Raises ManifestUnknown, UpstreamError and its kin."""
        async with self._call(need), self._answer(self._manifest("HEAD", name, reference)) as response:
            return read_head(response.headers, response.content_length, reference)

    async def get_manifest(self, name: str, reference: Reference, need: Need) -> FetchedManifest:
        """Fetch a manifest; one asked by digest is verified. Raises ManifestUnknown, UpstreamError and its kin."""
        async with self._call(need), self._answer(self._manifest("GET", name, reference)) as response:
            data = await read_small(response, limits.SMALL_BYTES_MAX)
        return await asyncio.to_thread(read_manifest, response.headers, data, reference)

    async def head_blob(self, name: str, digest: Digest, need: Need) -> int | None:
        """Return the blob's size in bytes, None when it is not told. Raises BlobUnknown, UpstreamError and its kin."""
        async with self._call(need), self._answer(self._blob("HEAD", name, digest, {})) as response:
            return response.content_length

    @asynccontextmanager
    async def get_blob(
        self, name: str, digest: Digest, start: int = 0, end: int | None = None
    ) -> AsyncIterator[BlobBody]:
        """Open a blob's bytes from `start` up to, not including, `end`; leaving the context drops the rest.

        The caller verifies the digest. Raises BlobUnknown, UpstreamError and its kin.
        """
        async with self._body_place():
            response = await self._open_blob(name, digest, _range(start, end))
            try:
                yield open_body(response, start, end, self._clocks)
            finally:
                response.release()

    async def tags(self, name: str, need: Need) -> list[str]:
        """List all tags, in upstream's order. Raises NameUnknown, UpstreamError and its kin."""
        url = self._url(name, "tags/list").with_query(n=limits.TAGS_PER_PAGE)
        ask = Ask("GET", url, f"repository {name}", _scope(name), unknown=NameUnknown)
        return read_tags(await self._pages(ask, need))

    async def referrers(self, name: str, digest: Digest, need: Need) -> bytes | None:
        """Return the index of what refers to `digest`; None when upstream has no referrers API (404)."""
        url = self._url(name, f"referrers/{digest}")
        ask = Ask("GET", url, f"referrers of {name}@{digest}", _scope(name), _INDEX, ManifestUnknown)
        try:
            return read_referrers(await self._pages(ask, need))
        except ManifestUnknown:
            return None

    async def close(self) -> None:
        """Close all connections; calls under way fail."""
        await self._sessions.close()

    @asynccontextmanager
    async def _call(self, need: Need, within_s: float | None = None) -> AsyncIterator[None]:
        """Let one call through, and end it in time: token, retries, redirects and a small body together."""
        self._health.admit(need)
        started_at = time.monotonic()
        within_s = within_s or self._clocks.headers_s
        try:
            async with asyncio.timeout(within_s):
                yield
        except TimeoutError:
            self._health.timed_out(started_at)
            raise UpstreamTimeout(f"upstream {self.rule.name} gave no answer within {within_s:g} s") from None
        finally:
            self._health.breaker.left()

    @asynccontextmanager
    async def _answer(self, ask: Ask) -> AsyncIterator[aiohttp.ClientResponse]:
        response = await self._conversation.answer(ask)
        try:
            yield response
        finally:
            response.release()

    async def _pages(self, ask: Ask, need: Need) -> list[bytes]:
        """Return the bodies of all pages, in turn. Raises UpstreamError beyond the limits."""
        bodies: list[bytes] = []
        following: URL | None = ask.url
        try:
            async with asyncio.timeout(self._clocks.listing_s):
                while following is not None:
                    if len(bodies) == limits.LIST_PAGES_MAX:
                        raise UpstreamError(f"upstream {self.rule.name} lists more than {limits.LIST_PAGES_MAX} pages")
                    page = Ask(ask.method, following, ask.what, ask.scope, ask.headers, ask.unknown)
                    async with self._call(need), self._answer(page) as response:
                        bodies.append(await read_small(response, limits.SMALL_BYTES_MAX))
                        following = next_page(response.headers.getall("Link", []), response.url)
                    if sum(map(len, bodies)) > limits.LIST_BYTES_MAX:
                        raise UpstreamError(f"upstream {self.rule.name} lists more than {limits.LIST_BYTES_MAX} bytes")
        except TimeoutError:
            raise UpstreamTimeout(
                f"upstream {self.rule.name} was still listing after {self._clocks.listing_s:g} s"
            ) from None
        return bodies

    async def _open_blob(self, name: str, digest: Digest, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """Ask the place remembered from the last redirect, else (or when that fails) the registry."""
        response = await self._reopen_blob(name, digest, headers)
        if response is not None:
            return response
        async with self._call(Need.DIGEST, self._clocks.headers_s * (1 - _PLACE_SHARE)):
            response = await self._conversation.answer(self._blob("GET", name, digest, headers))
        if response.url.origin() != self._sessions.home:
            self._places.remember(name, digest, response.url, time.monotonic())
        return response

    async def _reopen_blob(self, name: str, digest: Digest, headers: dict[str, str]) -> aiohttp.ClientResponse | None:
        place = self._places.find(name, digest, time.monotonic())
        if place is None:
            return None
        try:
            async with asyncio.timeout(self._clocks.headers_s * _PLACE_SHARE):
                return await self._conversation.answer(Ask("GET", place, f"blob {digest}", headers=headers))
        except (RegistryError, TimeoutError):
            self._places.forget(name, digest)
            return None

    @asynccontextmanager
    async def _body_place(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._clocks.headers_s):
                await self._bodies.acquire()
        except TimeoutError:
            raise UpstreamUnavailable(f"upstream {self.rule.name}: {limits.BODIES_MAX} transfers are running") from None
        try:
            yield
        finally:
            self._bodies.release()

    def _manifest(self, method: str, name: str, reference: Reference) -> Ask:
        what = f"manifest {name}{'@' if isinstance(reference, Digest) else ':'}{reference}"
        url = self._url(name, f"manifests/{reference}")
        return Ask("HEAD" if method == "HEAD" else "GET", url, what, _scope(name), _MANIFEST, ManifestUnknown)

    def _blob(self, method: str, name: str, digest: Digest, headers: dict[str, str]) -> Ask:
        url = self._url(name, f"blobs/{digest}")
        what = f"blob {name}@{digest}"
        return Ask("HEAD" if method == "HEAD" else "GET", url, what, _scope(name), headers, BlobUnknown)

    def _url(self, name: str, rest: str) -> URL:
        """Join without decoding anything: names and references are inside their grammars already."""
        return URL(f"{self._base}{name}/{rest}", encoded=True)


def _scope(name: str) -> str:
    return f"repository:{name}:pull"


def _range(start: int, end: int | None) -> dict[str, str]:
    if not start and end is None:
        return {}
    return {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
