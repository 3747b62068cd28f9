"""The upstream client: what this node asks of another registry, in the words of the distribution specification.

Source: OCI distribution-spec v1.1; issue section "Pull-through". Every call is an idempotent read that ends in time,
with a checked answer or an error of `oci.errors`; a 404 of ours is a 404 that upstream said. Keeps no registry state.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal

from aiohttp.abc import AbstractResolver
from yarl import URL

from mirror.oci import media
from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown, ManifestUnknown, NameUnknown, UpstreamDenied
from mirror.oci.names import Reference
from mirror.rules.freshness import Need
from mirror.rules.routing import UpstreamRule
from mirror.upstream.addresses import FORBIDDEN, Guard, Network
from mirror.upstream.blobs import Blobs
from mirror.upstream.body import BlobBody, read_small, refuse_page
from mirror.upstream.calls import Calls
from mirror.upstream.conversation import Ask, Conversation
from mirror.upstream.health import Health, Standing
from mirror.upstream.limits import NAMES_PER_PAGE, SMALL_BYTES_MAX, TAGS_PER_PAGE, Limits
from mirror.upstream.manifests import FetchedManifest, ManifestHead, read_head, read_manifest
from mirror.upstream.pages import read_names, read_referrers, read_tags
from mirror.upstream.password import Credential, Login
from mirror.upstream.sessions import Sessions
from mirror.upstream.wire import Wire

_MANIFEST: Final = {"Accept": media.ACCEPT}
_INDEX: Final = {"Accept": media.OCI_INDEX}
_CATALOG: Final = "registry:catalog:*"  # the token specification's scope of it
Method = Literal["GET", "HEAD"]


class Upstream:
    """One upstream registry. Made anywhere, used in one running loop, closed there.

    Every call raises UpstreamError or one of its kin when upstream cannot say; what else it raises is said there.
    """

    def __init__(
        self,
        rule: UpstreamRule,
        *,
        user_agent: str = "mirror",
        clocks: Limits | None = None,
        resolver: AbstractResolver | None = None,
        forbidden: Sequence[Network] = FORBIDDEN,
        credential: Login | None = None,
        asked_for: bool = False,
    ) -> None:
        """Make a client. `credential` says user name and password, in place of the rule's own.

        `asked_for`: a call of the API named this upstream, not the operator's file, so its address is checked too.
        """
        self.rule = rule
        self._base = URL(rule.url.rstrip("/") + "/v2/")
        clocks = clocks or Limits()
        guard = Guard(forbidden, home_is_checked=asked_for)
        self._sessions = Sessions(rule, clocks=clocks, guard=guard, user_agent=user_agent, resolver=resolver)
        self._health = Health(rule.name)
        wire = Wire(self._sessions, self._health, clocks)
        conversation = Conversation(self._sessions.home, wire, Credential(rule, credential), self._health)
        self._calls = Calls(conversation, self._health, clocks)
        self._blobs = Blobs(rule.name, self._sessions.home, self._calls, clocks)

    @property
    def last_success_at(self) -> float:
        """When the registry last answered (monotonic seconds); 0.0 for never."""
        return self._health.breaker.last_success_at

    def standing(self, now: float) -> Standing:
        """Say how this upstream stands at `now` (monotonic seconds)."""
        return self._health.standing(now)

    def reachable(self, now: float) -> bool:
        """Say whether a call would be let through at `now` (monotonic seconds): breaker closed, no pause asked."""
        return self._health.reachable(now)

    def check_budget(self, need: Need) -> None:
        """Raise UpstreamThrottled when the calls that upstream has left for us are for more pressing needs."""
        self._health.check_budget(need, time.monotonic())

    async def ping(self, need: Need) -> None:
        """Find out whether the registry answers at all; below 500 any answer will do."""
        async with self._calls.admitted(need):
            await self._calls.conversation.ping(self._base)

    async def log_in(self, need: Need) -> None:
        """Find out whether the registry lets us in, with our credential where it wants one. Raises UpstreamDenied."""
        try:
            async with self._calls.answer(Ask("GET", self._base, "anything"), need):
                pass
        except UpstreamDenied as error:
            if not self.rule.has_credential:
                raise
            raise UpstreamDenied(f"upstream {self.rule.name} refuses our credential: {error.message}") from None

    async def head_manifest(self, name: str, reference: Reference, need: Need) -> ManifestHead:
        """Ask what `reference` names. Never turns into a GET. Raises ManifestUnknown."""
        async with self._calls.answer(self._manifest("HEAD", name, reference), need) as response:
            return read_head(response.headers, response.content_length, reference)

    async def get_manifest(self, name: str, reference: Reference, need: Need) -> FetchedManifest:
        """Fetch a manifest of at most 4 MiB; one asked by digest is verified. Raises ManifestUnknown."""
        async with self._calls.answer(self._manifest("GET", name, reference), need) as response:
            data = await read_small(response, SMALL_BYTES_MAX)
        return await asyncio.to_thread(read_manifest, response.headers, data, reference)

    async def head_blob(self, name: str, digest: Digest, need: Need) -> int | None:
        """Return the blob's size in bytes, None when it is not told. Raises BlobUnknown."""
        async with self._calls.answer(self._blob("HEAD", name, digest), need) as response:
            refuse_page(response)
            return response.content_length

    def get_blob(
        self, name: str, digest: Digest, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[BlobBody]:
        """Open a blob's bytes from `start` up to, not including, `end`; leaving the context drops the rest.

        Bytes that a client waits for: the most pressing need. The caller verifies the digest. Raises BlobUnknown.
        """
        return self._blobs.open(self._blob("GET", name, digest), name, digest, start, end)

    async def tags(self, name: str, need: Need) -> list[str]:
        """List all tags, in upstream's order. Raises NameUnknown."""
        url = self._url(name, "tags/list").with_query(n=TAGS_PER_PAGE)
        ask = Ask("GET", url, f"repository {name}", _scope(name), unknown=NameUnknown)
        return read_tags(await self._calls.pages(ask, need))

    async def catalog(self, need: Need) -> list[str]:
        """List all repositories, in upstream's order. Few public registries let anybody do that."""
        url = URL(f"{self._base}_catalog").with_query(n=NAMES_PER_PAGE)
        return read_names(await self._calls.pages(Ask("GET", url, "list of repositories", _CATALOG), need))

    async def referrers(self, name: str, digest: Digest, need: Need) -> bytes | None:
        """Return the index (JSON, to 4 MiB) of what refers to `digest`; None when upstream has no such API (404)."""
        url = self._url(name, f"referrers/{digest}")
        ask = Ask("GET", url, f"referrers of {name}@{digest}", _scope(name), _INDEX, ManifestUnknown)
        try:
            return read_referrers(await self._calls.pages(ask, need))
        except ManifestUnknown:
            return None

    async def close(self) -> None:
        """Close all connections; calls under way fail."""
        await self._sessions.close()

    def _manifest(self, method: Method, name: str, reference: Reference) -> Ask:
        what = f"manifest {name}{'@' if isinstance(reference, Digest) else ':'}{reference}"
        return Ask(method, self._url(name, f"manifests/{reference}"), what, _scope(name), _MANIFEST, ManifestUnknown)

    def _blob(self, method: Method, name: str, digest: Digest) -> Ask:
        url = self._url(name, f"blobs/{digest}")
        return Ask(method, url, f"blob {name}@{digest}", _scope(name), unknown=BlobUnknown)

    def _url(self, name: str, rest: str) -> URL:
        """Join without decoding anything: names and references are inside their grammars already."""
        return URL(f"{self._base}{name}/{rest}", encoded=True)


def _scope(name: str) -> str:
    return f"repository:{name}:pull"
