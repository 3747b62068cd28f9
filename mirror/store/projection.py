"""The projection: what each change of the log does to the index. Writes run in the index writer's transactions.

Every function may be repeated without harm. Never invents state: what is not in the log, the files or the caller's hand
is not written.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

import lmdb
import orjson

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.media import OCTETS
from mirror.oci.names import Repository
from mirror.store.changes import Change, Kind
from mirror.store.entries import (
    BLOB,
    COUNT,
    BlobEntry,
    Document,
    Member,
    TagEntry,
    read_member,
    read_tag_entry,
)
from mirror.store.environment import BYTES, CURSOR, Tables

FindBlob = Callable[[Digest], BlobEntry | None]  # the bytes that are here, seen by who has them at hand


class Projection:
    """One write transaction on the index, in the index's own terms."""

    def __init__(self, transaction: lmdb.Transaction, tables: Tables) -> None:
        self._transaction = transaction
        self._tables = tables

    def apply(self, changes: Iterable[Change], find_blob: FindBlob) -> None:
        """Take in `changes`, which come in the order of their seq, and move the cursor behind the last."""
        for change in changes:
            EFFECTS[change.kind](self, change, find_blob)
            self._transaction.put(CURSOR, COUNT.pack(change.seq), db=self._tables.meta)

    def put_repository(self, repository: Repository, settings: bytes) -> None:
        self._transaction.put(repository.key(), settings, db=self._tables.repositories)

    def drop_repository(self, repository: Repository) -> None:
        """Forget a repository and all that it may serve."""
        prefix = repository.key()
        self._transaction.delete(prefix, db=self._tables.repositories)
        for table in (self._tables.members, self._tables.tags, self._tables.documents):
            self._drop(table, prefix)

    def drop_documents(self, repository: Repository) -> None:
        self._drop(self._tables.documents, repository.key())

    def _drop(self, table: lmdb._Database, prefix: bytes) -> None:
        with self._transaction.cursor(table) as cursor:
            at_one = cursor.set_range(prefix)
            while at_one and bytes(cursor.key()).startswith(prefix):
                at_one = cursor.delete()

    def rename_repository(self, old: Repository, new: Repository) -> None:
        """Let `new` serve what `old` did; all of it was proven or fetched, or cannot be fetched any more."""
        tables = self._tables
        for table in (tables.repositories, tables.members, tables.tags, tables.documents):
            self._rename(table, old.key(), new.key())

    def _rename(self, table: lmdb._Database, old: bytes, new: bytes) -> None:
        with self._transaction.cursor(table) as cursor:
            at_one = cursor.set_range(old)
            while at_one and bytes(cursor.key()).startswith(old):
                key, value = bytes(cursor.key()), bytes(cursor.value())
                cursor.delete()
                self._transaction.put(new + key[len(old) :], value, db=table)
                at_one = cursor.set_range(old)

    def put_blob(self, digest: Digest, entry: BlobEntry) -> None:
        self._count(digest, entry.size)
        self._transaction.put(digest.key(), entry.pack(), db=self._tables.blobs)
        if entry.data is not None:
            self._transaction.put(digest.key(), entry.data, db=self._tables.inline)

    def has_blob(self, digest: Digest) -> bool:
        return self._transaction.get(digest.key(), db=self._tables.blobs) is not None

    def serves(self, repository: Repository, digest: Digest) -> bool:
        """Tell whether `repository` can serve a blob with nobody's help."""
        member = self.member(repository, digest)
        return member is not None and member.proven and self.has_blob(digest)

    def find_blob(self, digest: Digest, find: FindBlob, size: int = -1) -> bool:
        """Put the entry of bytes that `find` can see unless it is there; tell whether it is now.

        Of a known `size` (-1: nobody knows) no others are taken: a file may have become shorter while nobody looked.
        """
        if self.has_blob(digest):
            return True
        entry = find(digest)
        if entry is None or size not in (-1, entry.size):
            return False
        self.put_blob(digest, entry)
        return True

    def drop_blob(self, digest: Digest) -> None:
        self._count(digest, 0)
        self._transaction.delete(digest.key(), db=self._tables.blobs)
        self._transaction.delete(digest.key(), db=self._tables.inline)

    def _count(self, digest: Digest, size: int) -> None:
        """Take a blob's new size, 0 when it goes, into the sum of all."""
        record = self._transaction.get(digest.key(), db=self._tables.blobs)
        before = 0 if record is None else int(BLOB.unpack(record)[0])
        if size != before:
            counted = self._transaction.get(BYTES, db=self._tables.meta)
            total = (0 if counted is None else int(COUNT.unpack(counted)[0])) + size - before
            self._transaction.put(BYTES, COUNT.pack(total), db=self._tables.meta)

    def drop_lost_blob(self, digest: Digest, find: FindBlob) -> None:
        """Drop the entry of bytes that `find` cannot see whole. Looked at here: they may have come again meanwhile."""
        found, record = find(digest), self._transaction.get(digest.key(), db=self._tables.blobs)
        if record is not None and (found is None or found.size != BLOB.unpack(record)[0]):
            self.drop_blob(digest)

    def renew_blob(self, digest: Digest, find: FindBlob) -> None:
        """Make the entry anew of what `find` sees."""
        self.drop_blob(digest)
        self.find_blob(digest, find)

    def note_checksum(self, digest: Digest, entry: BlobEntry) -> None:
        """Put the checksum of bytes that are here still."""
        record = self._transaction.get(digest.key(), db=self._tables.blobs)
        if record is not None and BLOB.unpack(record)[0] == entry.size:
            self._transaction.put(digest.key(), entry.pack(), db=self._tables.blobs)

    def member(self, repository: Repository, digest: Digest) -> Member | None:
        record = self._transaction.get(repository.key() + digest.key(), db=self._tables.members)
        return None if record is None else read_member(bytes(record))

    def put_member(self, repository: Repository, digest: Digest, member: Member) -> None:
        self._transaction.put(repository.key() + digest.key(), member.pack(), db=self._tables.members)

    def drop_member(self, repository: Repository, digest: Digest) -> None:
        self._transaction.delete(repository.key() + digest.key(), db=self._tables.members)

    def put_manifest(self, repository: Repository, digest: Digest, media_type: str, size: int, whole: bool) -> None:
        """Make `digest` a manifest of `repository`; it stays a blob as well if it was one."""
        old = self.member(repository, digest)
        blob = {"linked": old.linked, "proven": old.proven} if old else {}
        self.put_member(repository, digest, Member("manifest", media_type, size, whole, **blob))

    def link(self, repository: Repository, digest: Digest, media_type: str, size: int, *, proven: bool) -> None:
        """Make `digest` a blob of `repository`; it stays a manifest as well if it was one, and proven."""
        old = self.member(repository, digest)
        if old is None or old.kind == "blob":
            # What a claim says of the size never replaces what is known.
            size = old.size if old and old.proven and not proven else size
            member = Member("blob", media_type, size, linked=True, proven=proven or bool(old and old.proven))
        else:
            member = replace(old, linked=True, proven=proven or old.proven)
        self.put_member(repository, digest, member)

    def set_status(self, repository: Repository, digest: Digest, status: str) -> None:
        member = self.member(repository, digest)
        if member is not None:
            self.put_member(repository, digest, replace(member, archived=status == "ARCHIVED"))

    def mark_whole(self, repository: Repository, digest: Digest) -> None:
        member = self.member(repository, digest)
        if member is not None and not member.whole:
            self.put_member(repository, digest, replace(member, whole=True))

    def take_back_whole(self, repository: Repository, digest: Digest) -> None:
        """Say that blobs of a manifest may be missing; the next pull looks."""
        member = self.member(repository, digest)
        if member is not None and member.whole:
            self.put_member(repository, digest, replace(member, whole=False))

    def set_tag(self, repository: Repository, tag: str, entry: TagEntry) -> None:
        self._transaction.put(repository.key() + tag.encode(), entry.pack(), db=self._tables.tags)

    def drop_tag(self, repository: Repository, tag: str) -> None:
        self._transaction.delete(repository.key() + tag.encode(), db=self._tables.tags)

    def touch_tag(self, repository: Repository, tag: str, checked_at: float) -> None:
        """Say that the tag was seen to be right at `checked_at`. A tag that is gone stays gone."""
        record = self._transaction.get(repository.key() + tag.encode(), db=self._tables.tags)
        if record is not None:
            self.set_tag(repository, tag, replace(read_tag_entry(bytes(record)), checked_at=checked_at))

    def put_document(self, repository: Repository, key: str, document: Document) -> None:
        self._transaction.put(repository.key() + key.encode(), document.pack(), db=self._tables.documents)

    def drop_document(self, repository: Repository, key: str) -> None:
        self._transaction.delete(repository.key() + key.encode(), db=self._tables.documents)

    def put_note(self, name: str, text: bytes) -> None:
        self._transaction.put(f"note {name}".encode(), text, db=self._tables.meta)


Effect = Callable[[Projection, Change, FindBlob], None]


def _settled(index: Projection, change: Change, _: FindBlob) -> None:
    index.put_repository(change.repository, orjson.dumps(change.detail))


def _repository_deleted(index: Projection, change: Change, _: FindBlob) -> None:
    index.drop_repository(change.repository)


def _repository_renamed(index: Projection, change: Change, _: FindBlob) -> None:
    new = change.repository
    index.rename_repository(Repository(new.registry, change.detail["upstream"], change.detail["name"]), new)


def _nothing(index: Projection, change: Change, _: FindBlob) -> None:
    """Pulls do not need it."""


def _manifest_put(index: Projection, change: Change, find: FindBlob) -> None:
    detail = change.detail
    index.find_blob(change.named, find, detail["size"])
    index.put_manifest(change.repository, change.named, detail["media_type"], detail["size"], detail["whole"])
    for digest, size, media_type in detail["blobs"]:
        index.link(change.repository, parse_digest(digest), media_type, size, proven=change.repository.owned)


def _manifest_status(index: Projection, change: Change, _: FindBlob) -> None:
    index.set_status(change.repository, change.named, change.detail["status"])


def _manifest_deleted(index: Projection, change: Change, _: FindBlob) -> None:
    old = index.member(change.repository, change.named)
    if old is not None and old.linked:
        blob = Member("blob", OCTETS, old.size, linked=True, proven=old.proven)
        index.put_member(change.repository, change.named, blob)
    else:
        index.drop_member(change.repository, change.named)


def _blob_linked(index: Projection, change: Change, find: FindBlob) -> None:
    detail = change.detail
    index.find_blob(change.named, find, detail["size"])
    index.link(change.repository, change.named, detail["media_type"], detail["size"], proven=True)


def _blob_unlinked(index: Projection, change: Change, _: FindBlob) -> None:
    old = index.member(change.repository, change.named)
    if old is not None and old.kind == "manifest":
        index.put_member(change.repository, change.named, replace(old, linked=False, proven=False))
    else:
        index.drop_member(change.repository, change.named)


def _blob_collected(index: Projection, change: Change, _: FindBlob) -> None:
    index.drop_blob(change.named)


def _tag_set(index: Projection, change: Change, _: FindBlob) -> None:
    index.set_tag(change.repository, change.tag, TagEntry(change.named, change.at))


def _tag_deleted(index: Projection, change: Change, _: FindBlob) -> None:
    index.drop_tag(change.repository, change.tag)


EFFECTS: Final[Mapping[Kind, Effect]] = {
    "repository.created": _settled,
    "repository.changed": _settled,
    "repository.deleted": _repository_deleted,
    "repository.renamed": _repository_renamed,
    "repository.document": _nothing,
    "document.changed": _nothing,
    "manifest.put": _manifest_put,
    "manifest.deleted": _manifest_deleted,
    "manifest.status": _manifest_status,
    "blob.linked": _blob_linked,
    "blob.unlinked": _blob_unlinked,
    "blob.collected": _blob_collected,
    "tag.set": _tag_set,
    "tag.deleted": _tag_deleted,
}
