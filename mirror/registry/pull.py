"""Pulling: from the store when it can, through the upstream when it must (DESIGN walks 1 and 2).

A tag is served without a call inside its window, then re-checked by one HEAD for all who ask; a digest is never
re-checked. An upstream that fails leaves what we have standing, and the answer says how old it is.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from mirror import telemetry
from mirror.aws.errors import RepositoryNotFound
from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import (
    BlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameUnknown,
    RegistryError,
    StorageFull,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from mirror.oci.manifest import Manifest
from mirror.oci.names import Reference, Repository
from mirror.registry.absences import Absences
from mirror.registry.fill import HEADERS_S_MAX
from mirror.registry.flights import Flights
from mirror.registry.manifests import Manifests, read_manifest
from mirror.registry.pulled import PulledManifest
from mirror.registry.repositories import Repositories
from mirror.registry.unkept import UnkeptManifests
from mirror.registry.upstreams import Source, Upstreams
from mirror.rules.freshness import Need, never_changes, tag_state
from mirror.store.catalog import Catalog
from mirror.store.entries import Member, TagEntry
from mirror.store.index import Index

REVALIDATE_S_MAX: Final = 0.9  # with an answer in hand a client waits at most this for a better one (RELIABILITY G8)
PROOF_S: Final = 10.0  # an upstream that answered this recently is believed to be there
PROBE_S_MAX: Final = 3.0
UNKNOWN: Final = (ManifestUnknown, BlobUnknown, NameUnknown)

Follower = Callable[[Source, Digest, Manifest], None]  # told of each manifest that an upstream gave


class PullManifests:
    """What manifest GET and HEAD need."""

    def __init__(
        self,
        index: Index,
        catalog: Catalog,
        manifests: Manifests,
        repositories: Repositories,
        upstreams: Upstreams,
        flights: Flights,
    ) -> None:
        self._repositories = repositories
        self._index = index
        self._catalog = catalog
        self._manifests = manifests
        self._upstreams = upstreams
        self._flights = flights
        self._absences = Absences()
        self.unkept = UnkeptManifests()
        self.followers: list[Follower] = []

    async def pull(self, repository: Repository, reference: Reference) -> PulledManifest:
        """Return a manifest by tag or digest. Raises ManifestUnknown and UpstreamError."""
        if repository.owned:
            return await self._pull_owned(repository, reference)
        if isinstance(reference, Digest):
            return await self._pull_digest(repository, reference)
        return await self._pull_tag(repository, reference)

    async def _pull_owned(self, repository: Repository, reference: Reference) -> PulledManifest:
        digest = reference if isinstance(reference, Digest) else self._tagged(repository, reference)
        found = await self._manifests.read(repository, digest) if digest else None
        if found is None or digest is None:
            if self._index.settings(repository) is None:
                raise RepositoryNotFound(repository.name, repository.registry)
            raise ManifestUnknown("Requested image not found", detail={"reference": str(reference)})
        telemetry.pulled("", "manifest", "hit")
        return PulledManifest(digest, found[0].media_type, found[1])

    def _tagged(self, repository: Repository, tag: str) -> Digest | None:
        entry = self._index.tag(repository, tag)
        return entry.digest if entry else None

    # By tag.

    async def _pull_tag(self, repository: Repository, tag: str) -> PulledManifest:
        source = self._upstreams.source(repository)
        entry = self._index.tag(repository, tag)
        now = time.time()
        state = tag_state(source.upstream.rule, tag, entry.checked_at, now) if entry else "unknown"
        if entry is not None and state != "fresh" and self._repositories.freezes(repository, tag):
            state = "fresh"
        if entry is not None and state == "fresh":
            return await self._pull_digest(repository, entry.digest)
        unkept = self.unkept.tagged(repository, tag)
        try:
            digest = unkept or await self._ask_tag(source, tag, entry, has_answer=state == "stale")
        except UpstreamError as error:
            if entry is None or state != "stale":
                raise source.told(error) from None
            return await self._pull_stale(repository, entry, now)
        return await self._pull_digest(repository, digest)

    async def _pull_stale(self, repository: Repository, entry: TagEntry, now: float) -> PulledManifest:
        found = await self._pull_digest(repository, entry.digest)
        telemetry.pulled(repository.upstream, "manifest", "stale")
        return PulledManifest(found.digest, found.media_type, found.data, now - entry.checked_at)

    async def _ask_tag(self, source: Source, tag: str, entry: TagEntry | None, *, has_answer: bool) -> Digest:
        """Return what the tag means upstream, asked once for all callers. Raises ManifestUnknown and UpstreamError."""
        key = ("tag", source.repository, tag)
        self._absences.check(key)
        limit_s = REVALIDATE_S_MAX if has_answer else HEADERS_S_MAX
        try:
            async with asyncio.timeout(limit_s):
                if entry is None:
                    return await self._flights.join(key, lambda: self._fetch(source, tag, Need.TAG, (tag,)))
                return await self._flights.join(key, lambda: self._revalidate(source, tag, entry))
        except UNKNOWN as error:
            self._absences.note(key, error)
            if entry is not None:
                # What upstream says is true, whether the disk has room for it or not.
                with suppress(StorageFull):
                    await self._catalog.delete_tag(source.repository, tag, time.time())
            raise
        except TimeoutError:
            raise UpstreamTimeout(f"{source.repository}: upstream has not answered within {limit_s} s") from None

    async def _revalidate(self, source: Source, tag: str, entry: TagEntry) -> Digest:
        """Ask by HEAD, which no registry counts as a pull; fetch only what changed."""
        with telemetry.span("tag revalidation", repository=source.repository, tag=tag):
            return await self._asked_again(source, tag, entry)

    async def _asked_again(self, source: Source, tag: str, entry: TagEntry) -> Digest:
        head = await source.upstream.head_manifest(source.name, tag, Need.REVALIDATION)
        if head.digest == entry.digest:
            self._index.post_touch_tag(source.repository, tag, time.time())
            return entry.digest
        if head.digest is None:
            return await self._fetch(source, tag, Need.REVALIDATION, (tag,))
        if self._index.member(source.repository, head.digest) is not None:
            with suppress(StorageFull):
                await self._catalog.set_tag(source.repository, tag, head.digest, time.time())
            return head.digest
        return await self._fetch(source, head.digest, Need.REVALIDATION, (tag,))

    # For those who fetch before anybody asks.

    def fixed(self, repository: Repository, tag: str) -> Digest | None:
        """Return what a tag means that is here and never asked about again; None of any other."""
        entry = self._index.tag(repository, tag)
        if entry is None:
            return None
        rule = self._upstreams.source(repository).upstream.rule
        return entry.digest if never_changes(rule, tag) or self._repositories.freezes(repository, tag) else None

    def ask(self, repository: Repository, tag: str) -> asyncio.Future[Digest | None]:
        """Ask upstream by HEAD what a tag means there, whatever is known; None where it does not say.

        Others may wait for the answer too: shield it. It may be ManifestUnknown or UpstreamError.
        """
        return self._flights.launch(("head", repository, tag), lambda: self._head(repository, tag))

    async def _head(self, repository: Repository, tag: str) -> Digest | None:
        source = self._upstreams.source(repository)
        key = ("tag", source.repository, tag)
        self._absences.check(key)
        try:
            return (await source.upstream.head_manifest(source.name, tag, Need.REVALIDATION)).digest
        except UNKNOWN as error:
            self._absences.note(key, error)
            raise
        except UpstreamError as error:
            raise source.told(error) from None

    async def fetch(self, repository: Repository, tag: str) -> Digest:
        """Fetch the manifest that a tag means upstream now; the tag stays what it is. Raises as `ask`, StorageFull."""
        source = self._upstreams.source(repository)
        key = ("get", source.repository, tag)
        try:
            digest = await self._flights.join(key, lambda: self._fetch(source, tag, Need.REVALIDATION, ()))
        except UpstreamError as error:
            raise source.told(error) from None
        if self.unkept.find(repository, digest) is None:
            return digest
        raise StorageFull(f"no room left on the disk of this registry for {digest}")

    async def settle(self, repository: Repository, tag: str, digest: Digest) -> None:
        """Let a tag be what upstream has just said: a manifest that the repository has."""
        entry = self._index.tag(repository, tag)
        if entry is not None and entry.digest == digest:
            self._index.post_touch_tag(repository, tag, time.time())
        else:
            await self._catalog.set_tag(repository, tag, digest, time.time())

    # By digest.

    async def _pull_digest(self, repository: Repository, digest: Digest) -> PulledManifest:
        source = self._upstreams.source(repository)
        found = await self._manifests.read(repository, digest)
        outcome: telemetry.Outcome = "hit"
        if found is None and self.unkept.find(repository, digest) is None:
            await self._ask_digest(source, digest)
            found = await self._manifests.read(repository, digest)
            outcome = "filled"
        if found is None:
            return self._passed(repository, digest)
        telemetry.pulled(repository.upstream, "manifest", outcome)
        await self._check_deliverable(source, digest, *found)
        return PulledManifest(digest, found[0].media_type, found[1])

    def _passed(self, repository: Repository, digest: Digest) -> PulledManifest:
        """Return a manifest that upstream gave a moment ago and the disk did not take. Raises ManifestUnknown."""
        unkept = self.unkept.find(repository, digest)
        if unkept is None:
            raise ManifestUnknown(f"{repository} has no manifest {digest}")
        telemetry.pulled(repository.upstream, "manifest", "passed")
        return PulledManifest(digest, unkept.media_type, unkept.data)

    async def _ask_digest(self, source: Source, digest: Digest) -> None:
        key = ("manifest", source.repository, digest)
        self._absences.check(key)
        try:
            async with asyncio.timeout(HEADERS_S_MAX):
                await self._flights.join(key, lambda: self._fetch_digest(source, digest))
        except UNKNOWN as error:
            self._absences.note(key, error)
            raise
        except TimeoutError:
            raise UpstreamTimeout(f"{source.repository}: upstream has not answered for {digest}") from None
        except UpstreamError as error:
            raise source.told(error) from None

    async def _fetch_digest(self, source: Source, digest: Digest) -> Digest:
        """Fetch a manifest, or only prove that it belongs there when its bytes are here under another name."""
        data = await self._manifests.read_bytes(digest)
        if data is None:
            return await self._fetch(source, digest, Need.DIGEST, ())
        head = await source.upstream.head_manifest(source.name, digest, Need.DIGEST)
        return await self._keep(source, data, head.media_type, digest.algorithm, ())

    async def _fetch(self, source: Source, reference: Reference, need: Need, tags: tuple[str, ...]) -> Digest:
        with telemetry.span("manifest fetch", repository=source.repository, reference=reference):
            fetched = await source.upstream.get_manifest(source.name, reference, need)
            algorithm = reference.algorithm if isinstance(reference, Digest) else "sha256"
            return await self._keep(source, fetched.data, fetched.media_type, algorithm, tags)

    async def _keep(
        self, source: Source, data: bytes, media_type: str, algorithm: str, tags: tuple[str, ...]
    ) -> Digest:
        try:
            manifest = await read_manifest(data, media_type)
        except ManifestInvalid as error:
            raise UpstreamError(f"{source.repository}: upstream's manifest is refused: {error.message}") from None
        digest = digest_of(data, algorithm)
        try:
            await self._repositories.make(source.repository, "PULL_THROUGH_CACHE")
            await self._manifests.keep(source.repository, digest, data, manifest, tags=tags)
        except StorageFull:
            # Nobody is told: what cannot be kept is not fetched ahead either.
            self.unkept.put(source.repository, digest, manifest.media_type, data, tags)
            return digest
        for follow in self.followers:
            follow(source, digest, manifest)
        return digest

    # Podman and skopeo tie a whole pull to the registry that gave the manifest (CLIENTS quirk 2).

    async def _check_deliverable(self, source: Source, digest: Digest, member: Member, data: bytes) -> None:
        """Refuse a manifest whose blobs can be neither served nor fetched now. Raises UpstreamUnavailable."""
        if member.whole:
            return
        if await self._manifests.complete(source.repository, data, member.media_type):
            self._index.post_mark_whole(source.repository, digest)
            return
        if source.answered(PROOF_S) or await self._proved_there(source):
            return
        raise UpstreamUnavailable(
            f"{source.repository}@{digest} is known here, but not all of its blobs are, and upstream does not answer"
        )

    async def _proved_there(self, source: Source) -> bool:
        if not source.upstream.reachable(time.monotonic()):
            return False
        try:
            async with asyncio.timeout(PROBE_S_MAX):
                await self._flights.join(("ping", source.repository.upstream), lambda: source.upstream.ping(Need.TAG))
        except (RegistryError, TimeoutError):
            return False
        return True
