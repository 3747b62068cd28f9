"""The index: what makes a warm pull two or three memory reads. A projection; the truth is in SQL and in the files.

Source: DESIGN section 2. Reads are plain calls for the event loop, one short transaction each; they never block, never
await, and are made on no other thread (that is what lets the map grow safely). Writes go to the writer thread and are
awaited, or posted where losing one does no harm.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self, TypeVar

import lmdb

from mirror.oci.digest import Digest, digest_from_key
from mirror.oci.names import Registry, Repository, repository_from_key
from mirror.store.changes import Change
from mirror.store.entries import (
    BLOB,
    COUNT,
    INLINE_BYTES_MAX,
    MEMBER,
    TAG,
    BlobEntry,
    Document,
    Member,
    TagEntry,
    read_document,
    read_member,
    read_tag_entry,
)
from mirror.store.environment import BYTES, MAP_BYTES, IndexDamaged, Tables, mark_built, open_environment, read_cursor
from mirror.store.index_writer import IndexWriter
from mirror.store.projection import FindBlob, Projection

_CLAIMS: Final = frozenset({"repository.created", "repository.changed", "repository.deleted", "repository.renamed"})
PAGE_MAX: Final = 10_000  # entries of one listing call: it runs on the loop

Held = tuple[int, bytes, int, bytes | None]  # flags (entries.IS_...), media type, size in bytes, bytes when small
HeldTag = tuple[float, bytes, int, bytes, int, bytes | None]  # checked at, digest key, then as Held

T = TypeVar("T")


class Index:
    """The open index. `open` on a running loop, `close` when done."""

    def __init__(self, environment: lmdb.Environment, tables: Tables) -> None:
        self._environment = environment
        self._tables = tables
        self._begin = environment.begin
        self._writer = IndexWriter(environment)
        self.claims = 0  # how often, since the start, repositories came, went or changed their settings

    @classmethod
    async def open(cls, path: Path, *, map_bytes: int = MAP_BYTES) -> Self:
        """Open the index at `path`; a new one is empty and unbuilt. Raises IndexDamaged."""
        return cls(*await asyncio.to_thread(open_environment, path, map_bytes))

    async def close(self) -> None:
        await self._writer.close()
        self._environment.close()

    # Reads.

    def cursor(self) -> int:
        """Return the seq of the last change taken in. Raises IndexDamaged when the index was never built whole."""
        return read_cursor(self._environment, self._tables)

    def check_built(self, seq: int) -> None:
        """Raise IndexDamaged unless this index was built whole, from a log that ends at `seq` or before."""
        if self.cursor() > seq:
            raise IndexDamaged(f"the index is at change {self.cursor()}, the database at {seq}: not of one store")

    def blob(self, digest: Digest) -> BlobEntry | None:
        """Return what is known of bytes that are here, with the bytes themselves when they are small."""
        key, tables = digest.key(), self._tables
        with self._begin() as transaction:
            record = transaction.get(key, None, tables.blobs)
            if record is None:
                return None
            size, checksum = BLOB.unpack(record)
            data = transaction.get(key, None, tables.inline) if size <= INLINE_BYTES_MAX else None
        return BlobEntry(size, checksum, data)

    def blob_bytes(self) -> int:
        """Return how many bytes the blobs have that are here, all together."""
        record = self._get(BYTES, self._tables.meta)
        return 0 if record is None else int(COUNT.unpack(record)[0])

    def member(self, repository: Repository, digest: Digest) -> Member | None:
        """Return what `digest` is in `repository`; None when the repository does not have it."""
        record = self._get(repository.key() + digest.key(), self._tables.members)
        return None if record is None else read_member(record)

    def serves(self, repository: Repository, digest: Digest) -> bool:
        """Tell whether `repository` can serve a blob with nobody's help: it is here, and proven to belong there."""
        member = self.member(repository, digest)
        return member is not None and member.proven and self.blob(digest) is not None

    def tag(self, repository: Repository, tag: str) -> TagEntry | None:
        record = self._get(repository.key() + tag.encode(), self._tables.tags)
        return None if record is None else read_tag_entry(record)

    def tags(self, repository: Repository, last: str, limit: int) -> list[str]:
        """List up to `limit` tags that sort after `last` ("" = from the first), in byte order."""
        prefix = repository.key()
        keys = self._keys(self._tables.tags, prefix, prefix + last.encode(), limit)
        return [key[len(prefix) :].decode() for key in keys]

    def settings(self, repository: Repository) -> bytes | None:
        """Return the settings of a repository as they were written; None when there is no such repository."""
        return self._get(repository.key(), self._tables.repositories)

    def owned(self, registry: Registry, name: str) -> bool:
        """Tell whether `registry` has a repository of its own by that name."""
        return self.settings(Repository(registry, "", name)) is not None

    def repositories(self, registry: Registry, last: Repository | None, limit: int) -> list[Repository]:
        """List up to `limit` repositories of `registry` after `last`: its own first, then by upstream."""
        prefix = f"{registry}\0".encode()
        keys = self._keys(self._tables.repositories, prefix, last.key() if last else prefix, limit)
        return [repository_from_key(key) for key in keys]

    def document(self, repository: Repository, key: str) -> Document | None:
        """Return an upstream's kept answer, e.g. its list of tags."""
        record = self._get(repository.key() + key.encode(), self._tables.documents)
        return None if record is None else read_document(record)

    def read_digest(self, repository_key: bytes, digest_key: bytes) -> Held | None:
        """Look up a member and its bytes in one transaction; None unless both are here. For the express lane."""
        tables = self._tables
        transaction = self._begin()
        try:
            get = transaction.get
            member = get(repository_key + digest_key, None, tables.members)
            blob = get(digest_key, None, tables.blobs)
            if member is None or blob is None:
                return None
            size = BLOB.unpack(blob)[0]
            data = get(digest_key, None, tables.inline) if size <= INLINE_BYTES_MAX else None
        finally:
            transaction.abort()
        return member[0], member[MEMBER.size :], size, data

    def read_tag(self, repository_key: bytes, tag: bytes) -> HeldTag | None:
        """Follow a tag to its manifest's bytes in one transaction; None unless all is here. For the express lane."""
        tables = self._tables
        transaction = self._begin()
        try:
            get = transaction.get
            record = get(repository_key + tag, None, tables.tags)
            if record is None:
                return None
            digest_key = record[TAG.size :]
            member = get(repository_key + digest_key, None, tables.members)
            blob = get(digest_key, None, tables.blobs)
            if member is None or blob is None:
                return None
            size = BLOB.unpack(blob)[0]
            data = get(digest_key, None, tables.inline) if size <= INLINE_BYTES_MAX else None
        finally:
            transaction.abort()
        return TAG.unpack_from(record)[0], digest_key, member[0], member[MEMBER.size :], size, data

    def blobs(self, last: Digest | None, limit: int) -> list[tuple[Digest, int]]:
        """List up to `limit` blob entries after `last` with their sizes in bytes, in the order of their keys."""
        return self.blobs_after(last.key() if last else b"", limit)

    def blobs_after(self, key: bytes, limit: int) -> list[tuple[Digest, int]]:
        """List as `blobs` does, after any key: a random one makes a sample."""
        with self._begin() as transaction, transaction.cursor(self._tables.blobs) as cursor:
            found: list[tuple[Digest, int]] = []
            at_one = cursor.set_range(key + b"\0")
            while at_one and len(found) < min(limit, PAGE_MAX):
                found.append((digest_from_key(cursor.key()), int(BLOB.unpack(cursor.value())[0])))
                at_one = cursor.next()
        return found

    def blob_count(self) -> int:
        """Return how many blobs are here."""
        with self._begin() as transaction:
            return int(transaction.stat(self._tables.blobs)["entries"])

    def extent(self) -> tuple[int, int]:
        """Return how much of the memory map was ever used, and its size: bytes."""
        info = self._environment.info()
        return (int(info["last_pgno"]) + 1) * int(self._environment.stat()["psize"]), int(info["map_size"])

    def note(self, name: str) -> bytes | None:
        """Return what was noted by `name`: of the node's work on the store itself. A rebuild forgets it."""
        return self._get(f"note {name}".encode(), self._tables.meta)

    def _get(self, key: bytes, table: lmdb._Database) -> bytes | None:
        with self._begin() as transaction:
            record: bytes | None = transaction.get(key, None, table)
        return record

    def _keys(self, table: lmdb._Database, prefix: bytes, last: bytes, limit: int) -> list[bytes]:
        with self._begin() as transaction, transaction.cursor(table) as cursor:
            found: list[bytes] = []
            at_one = cursor.set_range(last + b"\0" if last else b"")
            while at_one and len(found) < min(limit, PAGE_MAX) and cursor.key().startswith(prefix):
                found.append(cursor.key())
                at_one = cursor.next()
        return found

    # Writes. Each returns when it is committed; a `post_` one returns at once and may be lost, by a crash or a flood.

    async def apply(self, changes: Sequence[Change], find_blob: FindBlob) -> None:
        """Take in changes of the log in the order of their seq; the cursor moves in the same transaction."""
        await self.write(lambda index: index.apply(changes, find_blob))
        self.claims += any(change.kind in _CLAIMS for change in changes)

    async def put_blob(self, digest: Digest, entry: BlobEntry) -> None:
        """Say that the file of `digest` is published. Comes after `Files.publish`, always."""
        await self.write(lambda index: index.put_blob(digest, entry))

    async def drop_blob(self, digest: Digest) -> None:
        """Forget the bytes of `digest`; when this returns no power cut brings the entry back, so the file may go."""
        await self.write(lambda index: index.drop_blob(digest), durable=True)

    async def drop_lost_blob(self, digest: Digest, find_blob: FindBlob) -> None:
        """Forget the bytes of `digest` if they are not whole on the disk."""
        await self.write(lambda index: index.drop_lost_blob(digest, find_blob))

    def post_checksum(self, digest: Digest, entry: BlobEntry) -> None:
        """Note the checksum of bytes that were read and found right, unless their entry is another one by then."""
        self._post(lambda index: index.note_checksum(digest, entry))

    async def touch_tag(self, repository: Repository, tag: str, checked_at: float) -> None:
        await self.write(lambda index: index.touch_tag(repository, tag, checked_at))

    def post_touch_tag(self, repository: Repository, tag: str, checked_at: float) -> None:
        self._post(lambda index: index.touch_tag(repository, tag, checked_at))

    async def take_back_whole(self, images: Sequence[tuple[Repository, Digest]]) -> None:
        """Say that blobs of these manifests may be missing."""

        def take_back(index: Projection) -> None:
            for repository, digest in images:
                index.take_back_whole(repository, digest)

        await self.write(take_back)

    async def mark_whole(self, repository: Repository, digest: Digest) -> None:
        """Say that all blobs of this manifest are here."""
        await self.write(lambda index: index.mark_whole(repository, digest))

    def post_mark_whole(self, repository: Repository, digest: Digest) -> None:
        self._post(lambda index: index.mark_whole(repository, digest))

    async def put_document(self, repository: Repository, key: str, document: Document) -> None:
        await self.write(lambda index: index.put_document(repository, key, document))

    async def drop_document(self, repository: Repository, key: str) -> None:
        await self.write(lambda index: index.drop_document(repository, key))

    async def drop_documents(self, repository: Repository) -> None:
        """Forget all that was kept of an upstream's answers about `repository`."""
        await self.write(lambda index: index.drop_documents(repository))

    async def write(self, change: Callable[[Projection], T], *, durable: bool = False) -> T:
        """Run `change` on the writer's thread, in one transaction with what else is waiting."""
        return await self._writer.do(lambda transaction: change(Projection(transaction, self._tables)), durable=durable)

    async def put_note(self, name: str, text: bytes) -> None:
        await self.write(lambda index: index.put_note(name, text))

    async def finish_build(self, cursor: int) -> None:
        """Say that the index is whole up to the change `cursor`: the last act of a rebuild."""
        await self._writer.do(lambda transaction: mark_built(transaction, self._tables, cursor), durable=True)

    def _post(self, change: Callable[[Projection], None]) -> None:
        self._writer.post(lambda transaction: change(Projection(transaction, self._tables)))
