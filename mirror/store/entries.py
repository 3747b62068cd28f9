"""Index records: what LMDB holds of a blob, a member, a tag and a document, and how it is packed.

Packed by `struct`, not JSON: a warm pull unpacks three of them in well under a microsecond. Little-endian, fixed head,
text or bytes behind it. A change of any layout is a new LAYOUT: the index is then rebuilt, never migrated. Pure.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final, Literal

import xxhash

from mirror.oci.digest import Digest, digest_from_key

LAYOUT: Final = 3
INLINE_BYTES_MAX: Final = 65_536  # below it a copy out of the map is cheaper than open, fstat and sendfile

BLOB: Final = Struct("<QQ")  # size in bytes, xxh3_64 or 0
MEMBER: Final = Struct("<Bq")  # flags, size in bytes or -1; the media type follows
TAG: Final = Struct("<d")  # checked at, unix seconds; the digest's key follows
DOCUMENT: Final = Struct("<d")  # checked at, unix seconds; the body follows
COUNT: Final = Struct("<Q")

IS_MANIFEST: Final = 1  # pulled at /manifests/
IS_LINKED: Final = 2  # pulled at /blobs/; the same bytes may be both
IS_WHOLE: Final = 4  # a manifest whose blobs were all here when last looked
IS_PROVEN: Final = 8  # a blob that the repository has indeed: else an upstream's manifest claims it, and no more
IS_ARCHIVED: Final = 16  # a manifest that is kept and not served

MemberKind = Literal["manifest", "blob"]


@dataclass(frozen=True, slots=True)
class BlobEntry:
    """Bytes that are here, in all repositories: how many, their xxh3_64 (0 = not taken), themselves when small."""

    size: int
    checksum: int = 0
    data: bytes | None = None

    def pack(self) -> bytes:
        return BLOB.pack(self.size, self.checksum)


def blob_entry(data: bytes) -> BlobEntry:
    """Make the entry of bytes in hand, with the bytes in it if they are small."""
    return BlobEntry(len(data), xxhash.xxh3_64_intdigest(data), data if len(data) <= INLINE_BYTES_MAX else None)


@dataclass(frozen=True, slots=True)
class Member:
    """A digest that one repository may serve. Its bytes need not be here: a cached repository knows what to fetch.

    `linked` tells whether it may be pulled as a blob: true of every blob, and of a manifest pushed as a blob as well.
    `proven` tells of a blob whether bytes that are here already may be given for it: it was pushed, or this very
    upstream gave it or said that it has it. `size` in bytes is -1 when unknown, or what a manifest claims.
    """

    kind: MemberKind
    media_type: str
    size: int
    whole: bool = False
    linked: bool = False
    proven: bool = False
    archived: bool = False

    def pack(self) -> bytes:
        flags = IS_MANIFEST * (self.kind == "manifest") | IS_LINKED * self.linked | IS_WHOLE * self.whole
        flags |= IS_PROVEN * self.proven | IS_ARCHIVED * self.archived
        return MEMBER.pack(flags, self.size) + self.media_type.encode()


def read_member(record: bytes) -> Member:
    flags, size = MEMBER.unpack_from(record)
    kind: MemberKind = "manifest" if flags & IS_MANIFEST else "blob"
    return Member(
        kind,
        record[MEMBER.size :].decode(),
        size,
        whole=bool(flags & IS_WHOLE),
        linked=bool(flags & IS_LINKED),
        proven=bool(flags & IS_PROVEN),
        archived=bool(flags & IS_ARCHIVED),
    )


@dataclass(frozen=True, slots=True)
class TagEntry:
    """What a tag points at, and when (unix seconds) that was last known to be so."""

    digest: Digest
    checked_at: float

    def pack(self) -> bytes:
        return TAG.pack(self.checked_at) + self.digest.key()


def read_tag_entry(record: bytes) -> TagEntry:
    return TagEntry(digest_from_key(record[TAG.size :]), TAG.unpack_from(record)[0])


@dataclass(frozen=True, slots=True)
class Document:
    """An upstream's answer kept as it came, e.g. a list of tags, and when (unix seconds) it was asked for."""

    body: bytes
    checked_at: float

    def pack(self) -> bytes:
        return DOCUMENT.pack(self.checked_at) + self.body


def read_document(record: bytes) -> Document:
    return Document(record[DOCUMENT.size :], DOCUMENT.unpack_from(record)[0])
