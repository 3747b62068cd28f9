"""The documents in memory: small texts by owner, kind and name, as the database has them. Reads are plain calls.

`generation` grows with each change, so that whoever made something of documents knows when to make it again.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import dataclass

from mirror.oci.names import Registry

Named = list[tuple[str, bytes]]
Owned = list[tuple[Registry, str, bytes]]


@dataclass(frozen=True, slots=True, order=True)
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
        self._sorted = sorted(self._bodies)

    def get(self, owner: Registry, kind: str, name: str = "") -> bytes | None:
        return self._bodies.get(DocumentKey(owner, kind, name))

    def list(self, owner: Registry, kind: str) -> Named:
        """List the documents of a kind that `owner` has, with their names, by name."""
        found: Named = []
        for at in range(bisect_left(self._sorted, DocumentKey(owner, kind)), len(self._sorted)):
            key = self._sorted[at]
            if (key.owner, key.kind) != (owner, kind):
                break
            found.append((key.name, self._bodies[key]))
        return found

    def all(self, kind: str) -> Owned:
        """List the documents of a kind that anybody has: owner, name, text."""
        return [(key.owner, key.name, self._bodies[key]) for key in self._sorted if key.kind == kind]

    def take_in(self, documents: Mapping[DocumentKey, bytes | None]) -> None:
        """Follow a transaction that was committed; None is a document that is gone."""
        for key, body in documents.items():
            if body is None:
                if self._bodies.pop(key, None) is not None:
                    del self._sorted[bisect_left(self._sorted, key)]
            else:
                if key not in self._bodies:
                    insort(self._sorted, key)
                self._bodies[key] = body
        self.generation += 1
