"""The upstreams of the node, by name, and one repository of one of them as a source of bytes."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown, ManifestUnknown, NameUnknown, RegistryError, UpstreamDenied
from mirror.oci.names import Registry, Repository
from mirror.rules.freshness import Need
from mirror.rules.routing import UpstreamRule
from mirror.upstream.body import BlobBody
from mirror.upstream.client import Upstream


@dataclass(frozen=True, slots=True)
class Source:
    """A repository at its upstream."""

    repository: Repository
    upstream: Upstream

    @property
    def name(self) -> str:
        """The repository as its upstream calls it."""
        return self.upstream.rule.upstream_name(self.repository.name)

    def get_blob(self, digest: Digest, start: int = 0, end: int | None = None) -> AbstractAsyncContextManager[BlobBody]:
        return self.upstream.get_blob(self.name, digest, start, end)

    async def head_blob(self, digest: Digest) -> int | None:
        return await self.upstream.head_blob(self.name, digest, Need.DIGEST)

    def answered(self, within_s: float) -> bool:
        """Tell whether upstream is believed to be there: it would be asked, and answered `within_s` seconds ago."""
        now = time.monotonic()
        return self.upstream.reachable(now) and now - self.upstream.last_success_at < within_s

    def told(self, error: RegistryError, *, blob: bool = False) -> RegistryError:
        """Say what upstream's refusal means to our client.

        An upstream that denies an anonymous caller says "not for the public": to our clients that is "unknown". One
        that denies *our credential* is trouble of ours: 502, never 401 (RELIABILITY section 4).
        """
        if not isinstance(error, UpstreamDenied) or self.upstream.rule.has_credential:
            return error
        unknown = BlobUnknown if blob else ManifestUnknown
        return unknown(f"{self.repository} does not exist at its registry, or is private there")


class Upstreams:
    """All upstreams of all registries. Those of rules that are made and deleted while the node runs come and go."""

    def __init__(self, make: Callable[[Registry, UpstreamRule], Upstream]) -> None:
        self._make = make
        self._by_registry: dict[Registry, dict[str, Upstream]] = {}

    async def replace(self, rules: Mapping[Registry, Sequence[UpstreamRule]]) -> None:
        """Make `rules` the upstreams that there are. One whose rule has not changed keeps what it has learnt."""
        gone = self.all()
        now: dict[Registry, dict[str, Upstream]] = {}
        for registry, wanted in rules.items():
            known = self._by_registry.get(registry, {})
            now[registry] = {}
            for rule in wanted:
                old = known.get(rule.name)
                upstream = old if old is not None and old.rule == rule else self._make(registry, rule)
                now[registry][rule.name] = upstream
        self._by_registry = now
        kept = self.all()
        for upstream in gone:
            if upstream not in kept:
                await upstream.close()

    async def close(self) -> None:
        for upstream in self.all():
            await upstream.close()

    def all(self) -> list[Upstream]:
        """List the upstreams of all registries."""
        return [upstream for upstreams in self._by_registry.values() for upstream in upstreams.values()]

    def names(self, registry: Registry) -> Collection[str]:
        return self._by_registry.get(registry, {}).keys()

    def source(self, repository: Repository) -> Source:
        """Return where a cached repository comes from. Raises NameUnknown when its rule is gone."""
        upstream = self._by_registry.get(repository.registry, {}).get(repository.upstream)
        if upstream is None:
            raise NameUnknown(f"{repository} is of an upstream that is no longer cached")
        return Source(repository, upstream)
