"""Listing: tags, referrers, repositories; of upstreams with the freshness rules of tags, and stale when they fail."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec
import orjson

from mirror.aws.errors import RepositoryNotFound
from mirror.oci import media
from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import ManifestUnknown, StorageFull, UpstreamError, UpstreamTimeout
from mirror.oci.names import Registry, Repository
from mirror.registry.fill import HEADERS_S_MAX
from mirror.registry.flights import Flights
from mirror.registry.pull import REVALIDATE_S_MAX
from mirror.registry.upstreams import Source, Upstreams
from mirror.rules.freshness import Need, age_state
from mirror.store.catalog import Catalog, Referrer
from mirror.store.entries import Document
from mirror.store.index import Index

TAGS_MAX: Final = 100_000  # one repository's list, as the upstream client bounds it
_TAGS: Final = "tags"  # the key of the list of tags

Ask = Callable[[Need], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Listing:
    """Something listed; `stale_s` is its age in seconds when upstream could not confirm it."""

    items: list[Any]
    stale_s: float | None = None


class Discovery:
    """Tags and referrers of repositories, and the catalog of them."""

    def __init__(self, index: Index, catalog: Catalog, upstreams: Upstreams, flights: Flights) -> None:
        self._index = index
        self._catalog = catalog
        self._upstreams = upstreams
        self._flights = flights

    async def tags(self, repository: Repository) -> Listing:
        """Return all tags in lexical order. Raises NameUnknown and UpstreamError."""
        if repository.owned:
            if not self._index.owned(repository.registry, repository.name):
                raise RepositoryNotFound(repository.name, repository.registry)
            return Listing(self._index.tags(repository, "", TAGS_MAX))
        source = self._upstreams.source(repository)
        try:
            body, stale_s = await self._document(source, _TAGS, partial(_ask_tags, source))
        except UpstreamError as error:
            known = self._index.tags(repository, "", TAGS_MAX)
            if not known:
                raise source.told(error) from None
            return Listing(known, 0.0)
        return Listing(msgspec.json.decode(body, type=list[str]), stale_s)

    async def tags_now(self, repository: Repository) -> list[str]:
        """Ask the upstream of a cached repository for its tags, however lately that was done, and for nothing less.

        Raises NameUnknown and UpstreamError.
        """
        source = self._upstreams.source(repository)
        return msgspec.json.decode(await self._now(source, _TAGS, partial(_ask_tags, source)), type=list[str])

    async def referrers(self, repository: Repository, subject: Digest) -> Listing:
        """Return the descriptors of manifests whose subject is `subject`.

        Of a cached repository never an empty list when upstream merely failed: that would hide signatures.
        """
        if repository.owned:
            rows = await self._catalog.referrers(repository, subject)
            return Listing([_descriptor(row) for row in rows])
        source = self._upstreams.source(repository)
        try:
            body, stale_s = await self._document(source, *self._referrers(source, subject))
        except UpstreamError as error:
            raise source.told(error) from None
        return Listing(_descriptors(body), stale_s)

    async def referrers_now(self, repository: Repository, subject: Digest) -> list[Any]:
        """Ask the upstream of a cached repository what refers to `subject`, however lately that was done.

        Raises UpstreamError.
        """
        source = self._upstreams.source(repository)
        return _descriptors(await self._now(source, *self._referrers(source, subject)))

    def _referrers(self, source: Source, subject: Digest) -> tuple[str, Ask]:
        """Return the key of a list of referrers, and what asks for it."""
        key = f"referrers {subject}"

        async def ask(need: Need) -> bytes:
            found = await source.upstream.referrers(source.name, subject, need)
            held = self._index.document(source.repository, key)
            return await _ask_fallback(source, subject, need, held) if found is None else found

        return key, ask

    async def repositories(self, registry: Registry, last: Repository | None, limit: int) -> list[Repository]:
        """List up to `limit` repositories of `registry` after `last` that can be pulled: of upstreams that are here."""
        return await self._catalog.repositories(registry, last, limit, self._upstreams.names(registry))

    async def _document(self, source: Source, key: str, ask: Ask) -> tuple[bytes, float | None]:
        """Return a listing of upstream's, kept as long as a tag is, and its age when it is served stale."""
        held = self._index.document(source.repository, key)
        age_s = time.time() - held.checked_at if held else 0.0
        state = age_state(source.upstream.rule, age_s) if held else "expired"
        if held is not None and state == "fresh":
            return held.body, None
        limit_s, need = (REVALIDATE_S_MAX, Need.REVALIDATION) if state == "stale" else (HEADERS_S_MAX, Need.TAG)
        try:
            async with asyncio.timeout(limit_s):
                return await self._join(source, key, ask, need), None
        except TimeoutError:
            error: UpstreamError = UpstreamTimeout(f"{source.repository}: upstream has not answered within {limit_s} s")
        except UpstreamError as failure:
            error = failure
        if held is None or state != "stale":
            raise error
        return held.body, age_s

    async def _now(self, source: Source, key: str, ask: Ask) -> bytes:
        try:
            # Not for a client: it ends in its own time, which the upstream's clocks bound.
            return await self._join(source, key, ask, Need.REVALIDATION)
        except UpstreamError as error:
            raise source.told(error) from None

    async def _join(self, source: Source, key: str, ask: Ask, need: Need) -> bytes:
        return await self._flights.join((key, source.repository), lambda: self._renew(source, key, lambda: ask(need)))

    async def _renew(self, source: Source, key: str, ask: Callable[[], Awaitable[bytes]]) -> bytes:
        body = await ask()
        with suppress(StorageFull):  # a full disk costs the next who asks a call
            await self._index.put_document(source.repository, key, Document(body, time.time()))
        return body


async def _ask_tags(source: Source, need: Need) -> bytes:
    return orjson.dumps(sorted(set(await source.upstream.tags(source.name, need))))


async def _ask_fallback(source: Source, subject: Digest, need: Need, held: Document | None) -> bytes:
    """Read the tag that stands for the referrers API (distribution-spec, "Referrers Tag Schema").

    By HEAD first: most images have none, and a GET of what has not changed would count as a pull.
    """
    tag = f"{subject.algorithm}-{subject.hex}"[:128]
    try:
        head = await source.upstream.head_manifest(source.name, tag, need)
        if held is not None and head.digest is not None and await _has_digest(held.body, head.digest):
            return held.body
        return (await source.upstream.get_manifest(source.name, tag, need)).data
    except ManifestUnknown:
        return orjson.dumps({"manifests": []})


async def _has_digest(data: bytes, digest: Digest) -> bool:
    return await asyncio.to_thread(digest_of, data, digest.algorithm) == digest


def _descriptor(referrer: Referrer) -> dict[str, Any]:
    """Describe a referrer as distribution-spec, "Listing Referrers", wants it."""
    described = {
        "mediaType": referrer.media_type,
        "digest": str(referrer.digest),
        "size": referrer.size,
        "artifactType": referrer.artifact_type,
        "annotations": dict(referrer.annotations),
    }
    return {key: value for key, value in described.items() if value or key == "size"}


def _descriptors(body: bytes) -> list[Any]:
    """Return the descriptors of an index that an upstream sent. Raises UpstreamError when it is none."""
    try:
        return [dict(item) for item in orjson.loads(body)["manifests"] or []]
    except (ValueError, TypeError, KeyError):
        raise UpstreamError("upstream's list of referrers is not an OCI index") from None


def referrers_index(descriptors: list[Any], artifact_type: str | None) -> bytes:
    """Write the answer of the referrers API, filtered when a type is asked for."""
    chosen = [item for item in descriptors if artifact_type is None or item.get("artifactType") == artifact_type]
    return orjson.dumps({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": chosen})
