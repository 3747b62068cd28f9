"""Mutations: what each verb of the catalog does to the rows, and the changes that it leaves in the log.

Runs inside the ledger's transaction and commits nothing itself; may be run again from the start when that is rolled
back. A row that is there already is overwritten: the newest time wins.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import Table, delete, select

from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor, Manifest
from mirror.oci.names import Repository
from mirror.store import tables
from mirror.store.changes import Change, manifest_detail
from mirror.store.ledger import Entry
from mirror.store.rows import put_rows


async def put_manifest(
    entry: Entry,
    repository: Repository,
    digest: Digest,
    manifest: Manifest,
    size: int,
    at: float,
    *,
    whole: bool,
) -> int:
    """Write a manifest, its children, and a link to each blob that it needs. Returns the repository's id."""
    repository_id = await entry.make_repository(repository, at)
    row = {
        "repository_id": repository_id,
        "digest": str(digest),
        "media_type": manifest.media_type,
        "artifact_type": manifest.artifact_type,
        "size": size,
        "subject": str(manifest.subject.digest) if manifest.subject else None,
        "annotations": orjson.dumps(dict(manifest.annotations)).decode(),
        "pushed_at": at,
    }
    await put_rows(entry.connection, tables.manifests, [row])
    await _put_children(entry, repository_id, digest, manifest)
    # Not the foreign ones: nobody checked that they belong here, and to name a blob is not to own it (RELIABILITY A7).
    _put_links(entry, repository_id, manifest.needed, at)
    detail = manifest_detail(manifest, size, whole=whole)
    entry.changes.append(Change("manifest.put", repository, at, digest, detail=detail))
    return repository_id


async def set_tags(
    entry: Entry, repository: Repository, repository_id: int, tags: Sequence[str], digest: Digest, at: float
) -> None:
    """Point `tags` at `digest`."""
    rows = [{"repository_id": repository_id, "tag": tag, "digest": str(digest), "updated_at": at} for tag in tags]
    await put_rows(entry.connection, tables.tags, rows)
    entry.changes += [Change("tag.set", repository, at, digest, tag) for tag in tags]


async def delete_tag(entry: Entry, repository: Repository, tag: str, at: float) -> bool:
    """Delete a tag; tell whether it was there."""
    repository_id = await entry.repository_id(repository)
    removed = await _remove(entry, tables.tags, repository_id=repository_id, tag=tag)
    if removed:
        entry.changes.append(Change("tag.deleted", repository, at, tag=tag))
    return removed > 0


async def delete_manifest(entry: Entry, repository: Repository, digest: Digest, at: float) -> bool:
    """Delete a manifest, its children's rows, and the tags that point at it; tell whether it was there."""
    repository_id = await entry.repository_id(repository)
    row = {"repository_id": repository_id, "digest": str(digest)}
    removed = await _remove(entry, tables.manifests, **row)
    if not removed:
        return False
    table = tables.tags
    pointing = select(table.c.tag).where(table.c.repository_id == repository_id, table.c.digest == str(digest))
    names = list((await entry.connection.execute(pointing.order_by(table.c.tag))).scalars())
    await _remove(entry, table, **row)
    entry.changes += [Change("tag.deleted", repository, at, digest, tag) for tag in names]
    entry.changes.append(Change("manifest.deleted", repository, at, digest))
    return True


async def link_blob(
    entry: Entry, repository: Repository, digest: Digest, size: int, media_type: str, at: float
) -> None:
    """Let `repository` serve a blob whose bytes are here."""
    repository_id = await entry.make_repository(repository, at)
    _put_links(entry, repository_id, [Descriptor(media_type, digest, size)], at)
    detail = {"size": size, "media_type": media_type}
    entry.changes.append(Change("blob.linked", repository, at, digest, detail=detail))


async def unlink_blob(entry: Entry, repository: Repository, digest: Digest, at: float) -> bool:
    """Stop serving a blob in `repository`; tell whether it was served."""
    repository_id = await entry.repository_id(repository)
    await entry.write_links()
    removed = await _remove(entry, tables.blob_links, repository_id=repository_id, digest=str(digest))
    if removed:
        entry.changes.append(Change("blob.unlinked", repository, at, digest))
    return removed > 0


async def _put_children(entry: Entry, repository_id: int, digest: Digest, manifest: Manifest) -> None:
    of = {"repository_id": repository_id, "manifest": str(digest)}
    kinds = [(blob, "foreign" if blob.foreign else "blob") for blob in manifest.blobs]
    kinds += [(child, "manifest") for child in manifest.manifests]
    # One layer may stand in an image twice: one row is enough, the first one's.
    rows = {child.digest: of | _described(child) | {"kind": kind} for child, kind in reversed(kinds)}
    await put_rows(entry.connection, tables.manifest_children, list(rows.values()))


def _put_links(entry: Entry, repository_id: int, blobs: Iterable[Descriptor], at: float) -> None:
    """Let the transaction write them with the links of others, at its end."""
    of = {"repository_id": repository_id, "linked_at": at}
    for blob in blobs:
        entry.links[repository_id, str(blob.digest)] = of | _described(blob)


def _described(descriptor: Descriptor) -> dict[str, Any]:
    return {"digest": str(descriptor.digest), "size": descriptor.size, "media_type": descriptor.media_type}


async def _remove(entry: Entry, table: Table, **row: object) -> int:
    """Delete the rows that have these values; return how many there were."""
    found = await entry.connection.execute(
        delete(table).where(*(table.c[column] == value for column, value in row.items()))
    )
    return found.rowcount
