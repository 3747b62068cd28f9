"""HEADs ahead: what the next tags mean is asked while the walk is still at the ones before.

A run that finds nothing changed is nothing but HEADs: one after the other they would take a journey each.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final

from mirror.oci.digest import Digest
from mirror.oci.names import Reference, Repository
from mirror.registry.pull import PullManifests

HEADS_MAX: Final = 8  # under way at once, or answered and not yet taken

Head = asyncio.Future[Digest | None]


class Heads:
    """The HEADs of the tags among some references of a repository, which are taken in their order."""

    def __init__(self, manifests: PullManifests, repository: Repository, references: Iterable[Reference]) -> None:
        self._manifests = manifests
        self._repository = repository
        self._waiting = deque(reference for reference in references if isinstance(reference, str))
        self._asked: dict[Reference, Head] = {}

    def take(self, reference: Reference) -> Head | None:
        """Return what was asked about a reference; None of what is not asked about. Asks about those behind it."""
        while self._waiting and len(self._asked) < HEADS_MAX:
            tag = self._waiting.popleft()
            if self._manifests.fixed(self._repository, tag) is None:
                self._asked[tag] = self._manifests.ask(self._repository, tag)
        return self._asked.pop(reference, None)
