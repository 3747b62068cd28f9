"""Manifests that a full disk did not take: given from memory for a while, so that a pull goes on.

Source: RELIABILITY section 4, "Disk full": misses pass through. Their blobs need no row: upstream is asked for each.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from mirror.oci.digest import Digest
from mirror.oci.names import Repository

UNKEPT_S: Final = 60.0  # a client asks for the same manifest by tag, then by digest, within seconds
UNKEPT_BYTES_MAX: Final = 32 * 1024 * 1024  # some thousand usual manifests, eight of the largest


@dataclass(frozen=True, slots=True)
class Unkept:
    """A manifest's bytes; `at` is when they came, in monotonic seconds."""

    media_type: str
    data: bytes
    at: float


class UnkeptManifests:
    """The manifests, and what tags meant when they came, by repository."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._manifests: OrderedDict[tuple[Repository, Digest], Unkept] = OrderedDict()  # oldest first
        self._tags: OrderedDict[tuple[Repository, str], tuple[Digest, float]] = OrderedDict()
        self._bytes = 0

    def put(self, repository: Repository, digest: Digest, media_type: str, data: bytes, tags: Iterable[str]) -> None:
        """Take a manifest in, and what is too old or too much out."""
        now = self._clock()
        self._drop(repository, digest)
        self._manifests[repository, digest] = Unkept(media_type, data, now)
        self._bytes += len(data)
        for tag in tags:
            self._tags.pop((repository, tag), None)
            self._tags[repository, tag] = digest, now
        self._shrink(now)

    def find(self, repository: Repository, digest: Digest) -> Unkept | None:
        """Return a manifest that came less than UNKEPT_S ago."""
        found = self._manifests.get((repository, digest))
        return found if found is not None and self._is_young(found.at) else None

    def tagged(self, repository: Repository, tag: str) -> Digest | None:
        """Return what a tag meant less than UNKEPT_S ago, where that manifest is here."""
        digest, at = self._tags.get((repository, tag), (None, 0.0))
        return digest if digest is not None and self._is_young(at) and self.find(repository, digest) else None

    def any_of(self, repository: Repository) -> bool:
        """Tell whether a manifest of `repository` is here: somebody pulls from it."""
        return any(of == repository and self._is_young(found.at) for (of, _), found in self._manifests.items())

    def _is_young(self, at: float) -> bool:
        return self._clock() - at < UNKEPT_S

    def _shrink(self, now: float) -> None:
        while self._bytes > UNKEPT_BYTES_MAX or now - next(iter(self._manifests.values())).at >= UNKEPT_S:
            self._drop(*next(iter(self._manifests)))
        # A tag comes with a manifest, so there are never more of them than of those; they go by age alone.
        while self._tags and now - next(iter(self._tags.values()))[1] >= UNKEPT_S:
            self._tags.popitem(last=False)

    def _drop(self, repository: Repository, digest: Digest) -> None:
        old = self._manifests.pop((repository, digest), None)
        self._bytes -= len(old.data) if old is not None else 0
