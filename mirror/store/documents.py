"""Documents: the small settings of registries and of the node: users, keys, policies, rules, templates.

They are few (thousands) and small, so all of them are in memory; each write is one SQL transaction with its change in
the log. Whoever makes something of them looks at `generation`. A text may be a secret: sealed by who puts it here, and
never in the log.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, select

from mirror.oci.errors import SizeInvalid
from mirror.oci.names import Registry, read_registry
from mirror.store import tables
from mirror.store.changes import document_change
from mirror.store.database import Database
from mirror.store.document_map import DocumentKey, DocumentMap, Named, Owned
from mirror.store.ledger import Entry, Ledger
from mirror.store.rows import put_rows

BODY_BYTES_MAX: Final = 1024 * 1024  # a policy has at most 10 KiB, a logo 500 KiB


@dataclass(frozen=True, slots=True)
class Edit:
    """One document as it shall be; a body of None deletes it."""

    owner: Registry
    kind: str
    name: str
    body: bytes | None


class Documents:
    """The documents of the store."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._map = ledger.documents

    @property
    def generation(self) -> int:
        return self._map.generation

    def get(self, owner: Registry, kind: str, name: str = "") -> bytes | None:
        return self._map.get(owner, kind, name)

    def list(self, owner: Registry, kind: str) -> Named:
        """List the documents of a kind that `owner` has, with their names, by name."""
        return self._map.list(owner, kind)

    def all(self, kind: str) -> Owned:
        """List the documents of a kind that anybody has: owner, name, text."""
        return self._map.all(kind)

    async def write(self, edits: Sequence[Edit]) -> None:
        """Make all `edits`, or none. When this returns they survive a power cut, and reads give them."""
        for edit in edits:
            if edit.body is not None and len(edit.body) > BODY_BYTES_MAX:
                raise SizeInvalid(f"{edit.kind} of {len(edit.body)} bytes: at most {BODY_BYTES_MAX} are kept")
        if edits:
            await self._ledger.commit(lambda entry: _write(entry, edits))


async def read_documents(database: Database) -> DocumentMap:
    """Read all documents, at a start."""
    async with database.read() as connection:
        rows = (await connection.execute(select(tables.documents))).mappings().all()
    return DocumentMap(
        {DocumentKey(read_registry(row["owner"]), row["kind"], row["name"]): row["body"] for row in rows}
    )


async def _write(entry: Entry, edits: Sequence[Edit]) -> None:
    at = time.time()
    for edit in edits:
        row = {"owner": str(edit.owner), "kind": edit.kind, "name": edit.name}
        if edit.body is None:
            table = tables.documents
            chosen = delete(table).where(*(table.c[column] == value for column, value in row.items()))
            await entry.connection.execute(chosen)
        else:
            await put_rows(entry.connection, tables.documents, [{**row, "body": edit.body, "updated_at": at}])
        entry.documents[DocumentKey(edit.owner, edit.kind, edit.name)] = edit.body
        there = edit.body is not None
        entry.changes.append(document_change(edit.owner, edit.kind, edit.name, at, there=there))
