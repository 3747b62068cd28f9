"""The upstreams of the node, by name, and one repository of one of them as a source of bytes."""

from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown, ManifestUnknown, RegistryError, UpstreamDenied
from mirror.oci.names import Repository
from mirror.rules.freshness import Need
from mirror.upstream.body import BlobBody
from mirror.upstream.client import Upstream


@dataclass(frozen=True, slots=True)
class Source:
    """A repository at its upstream."""

    repository: Repository
    upstream: Upstream

    @property
    def name(self) -> str:
        return self.repository.name

    def get_blob(self, digest: Digest, start: int = 0, end: int | None = None) -> AbstractAsyncContextManager[BlobBody]:
        return self.upstream.get_blob(self.name, digest, start, end)

    async def head_blob(self, digest: Digest) -> int | None:
        return await self.upstream.head_blob(self.name, digest, Need.DIGEST)

    def told(self, error: RegistryError, *, blob: bool = False) -> RegistryError:
        """Say what upstream's refusal means to our client.

        An upstream that denies an anonymous caller says "not for the public": to our clients that is "unknown". One
        that denies *our credential* is trouble of ours: 502, never 401 (RELIABILITY section 4).
        """
        if not isinstance(error, UpstreamDenied) or self.upstream.rule.username:
            return error
        unknown = BlobUnknown if blob else ManifestUnknown
        return unknown(f"{self.repository} does not exist at its registry, or is private there")


class Upstreams:
    """All configured upstreams."""

    def __init__(self, by_name: Mapping[str, Upstream]) -> None:
        self._by_name = by_name

    @property
    def names(self) -> Collection[str]:
        return self._by_name.keys()

    def source(self, repository: Repository) -> Source:
        """Return where a cached repository comes from."""
        return Source(repository, self._by_name[repository.upstream])
