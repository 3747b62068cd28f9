"""The documents in memory: small texts by owner, kind and name, as the database has them. Reads are plain calls.

`generation` grows with each change, so that whoever made something of documents knows when to make it again.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mirror.oci.names import Registry

Named = list[tuple[str, bytes]]
Owned = list[tuple[Registry, str, bytes]]


@dataclass(frozen=True, slots=True)
class DocumentKey:
    """The name of a document: whose (an owner without account is the node), of what kind, which."""

    owner: Registry
    kind: str
    name: str = ""


class DocumentMap:
    """All documents of the store."""

    def __init__(self, found: Mapping[DocumentKey, bytes]) -> None:
        self.generation = 0
        self._bodies = dict(found)
        self._sorted = sorted(map(_place, self._bodies))

    def get(self, owner: Registry, kind: str, name: str = "") -> bytes | None:
        return self._bodies.get(DocumentKey(owner, kind, name))

    def list(self, owner: Registry, kind: str) -> Named:
        """List the documents of a kind that `owner` has, with their names, by name."""
        return [(name, self._bodies[DocumentKey(owner, kind, name)]) for _, _, name in self._from(kind, owner)]

    def all(self, kind: str) -> Owned:
        """List the documents of a kind that anybody has: owner, name, text."""
        return [(owner, name, self._bodies[DocumentKey(owner, kind, name)]) for _, owner, name in self._from(kind)]

    def _from(self, *start: Any) -> Iterator[tuple[str, Registry, str]]:
        """Yield the places that begin with `start`: a kind, or a kind and an owner."""
        for at in range(bisect_left(self._sorted, start), len(self._sorted)):
            place = self._sorted[at]
            if place[: len(start)] != start:
                return
            yield place

    def take_in(self, documents: Mapping[DocumentKey, bytes | None]) -> None:
        """Follow a transaction that was committed; None is a document that is gone."""
        for key, body in documents.items():
            if body is None:
                if self._bodies.pop(key, None) is not None:
                    del self._sorted[bisect_left(self._sorted, _place(key))]
            else:
                if key not in self._bodies:
                    insort(self._sorted, _place(key))
                self._bodies[key] = body
        self.generation += 1


def _place(key: DocumentKey) -> tuple[str, Registry, str]:
    """Return where a document stands among all: with those of its kind, and there with its owner's."""
    return key.kind, key.owner, key.name
