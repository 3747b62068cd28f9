"""The projection: what each change of the log does to the index. Writes run in the index writer's transactions.

Every function may be repeated without harm. Never invents state: what is not in the log, the files or the caller's hand
is not written.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

import lmdb

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.media import OCTETS
from mirror.oci.names import Repository
from mirror.store.changes import Change, Kind
from mirror.store.entries import (
    COUNT,
    BlobEntry,
    Document,
    Member,
    TagEntry,
    read_member,
    read_tag_entry,
)
from mirror.store.environment import CURSOR, Tables

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

    def put_repository(self, repository: Repository) -> None:
        self._transaction.put(repository.key(), b"", db=self._tables.repositories)

    def put_blob(self, digest: Digest, entry: BlobEntry) -> None:
        self._transaction.put(digest.key(), entry.pack(), db=self._tables.blobs)
        if entry.data is not None:
            self._transaction.put(digest.key(), entry.data, db=self._tables.inline)

    def has_blob(self, digest: Digest) -> bool:
        return self._transaction.get(digest.key(), db=self._tables.blobs) is not None

    def find_blob(self, digest: Digest, find: FindBlob) -> bool:
        """Put the entry of bytes that `find` can see unless it is there; tell whether it is now."""
        if self.has_blob(digest):
            return True
        entry = find(digest)
        if entry is not None:
            self.put_blob(digest, entry)
        return entry is not None

    def drop_blob(self, digest: Digest) -> None:
        self._transaction.delete(digest.key(), db=self._tables.blobs)
        self._transaction.delete(digest.key(), db=self._tables.inline)

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
        linked = old is not None and old.linked
        self.put_member(repository, digest, Member("manifest", media_type, size, whole, linked))

    def link(self, repository: Repository, digest: Digest, media_type: str, size: int) -> None:
        """Make `digest` a blob of `repository`; it stays a manifest as well if it was one."""
        old = self.member(repository, digest)
        is_manifest = old is not None and old.kind == "manifest"
        member = replace(old, linked=True) if old and is_manifest else Member("blob", media_type, size, linked=True)
        self.put_member(repository, digest, member)

    def mark_whole(self, repository: Repository, digest: Digest) -> None:
        member = self.member(repository, digest)
        if member is not None and not member.whole:
            self.put_member(repository, digest, replace(member, whole=True))

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


Effect = Callable[[Projection, Change, FindBlob], None]


def _created(index: Projection, change: Change, _: FindBlob) -> None:
    index.put_repository(change.repository)


def _manifest_put(index: Projection, change: Change, find: FindBlob) -> None:
    detail = change.detail
    index.find_blob(change.named, find)
    index.put_manifest(change.repository, change.named, detail["media_type"], detail["size"], detail["whole"])
    for digest, size, media_type in detail["blobs"]:
        index.link(change.repository, parse_digest(digest), media_type, size)


def _manifest_deleted(index: Projection, change: Change, _: FindBlob) -> None:
    old = index.member(change.repository, change.named)
    if old is not None and old.linked:
        index.put_member(change.repository, change.named, Member("blob", OCTETS, old.size, linked=True))
    else:
        index.drop_member(change.repository, change.named)


def _blob_linked(index: Projection, change: Change, find: FindBlob) -> None:
    index.find_blob(change.named, find)
    index.link(change.repository, change.named, change.detail["media_type"], change.detail["size"])


def _blob_unlinked(index: Projection, change: Change, _: FindBlob) -> None:
    old = index.member(change.repository, change.named)
    if old is not None and old.kind == "manifest":
        index.put_member(change.repository, change.named, replace(old, linked=False))
    else:
        index.drop_member(change.repository, change.named)


def _tag_set(index: Projection, change: Change, _: FindBlob) -> None:
    index.set_tag(change.repository, change.tag, TagEntry(change.named, change.at))


def _tag_deleted(index: Projection, change: Change, _: FindBlob) -> None:
    index.drop_tag(change.repository, change.tag)


EFFECTS: Final[Mapping[Kind, Effect]] = {
    "repository.created": _created,
    "manifest.put": _manifest_put,
    "manifest.deleted": _manifest_deleted,
    "blob.linked": _blob_linked,
    "blob.unlinked": _blob_unlinked,
    "tag.set": _tag_set,
    "tag.deleted": _tag_deleted,
}
