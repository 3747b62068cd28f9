"""Mutations: what each verb of the catalog does to the rows, and the changes that it leaves in the log.

Runs inside the ledger's transaction and commits nothing itself; may be run again from the start when that is rolled
back. A row that is there already is overwritten: the newest time wins.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import Table, delete, func, select, update

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.manifest import Descriptor, Manifest
from mirror.oci.names import Repository
from mirror.store import tables
from mirror.store.changes import Change, manifest_detail
from mirror.store.ledger import Entry
from mirror.store.rows import listed, put_rows
from mirror.store.status_mutations import CHILDREN_ASKED_MAX, restore_artifacts, restore_children
from mirror.store.unneeded import suspect, suspect_image

SCAN_KIND: Final = "scan/"  # repository documents about one image, whose digest follows: they go with it
PULLS_KIND: Final = "pulls"  # the repository document that counts its pulls
_LISTS_MAX: Final = 100  # named in a refusal


async def put_manifest(
    entry: Entry,
    repository: Repository,
    digest: Digest,
    manifest: Manifest,
    size: int,
    at: float,
    *,
    whole: bool,
    origin: str = "",
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
    }
    row |= {"image_size": await _image_size(entry, repository_id, manifest), **await _kept(entry, row, at)}
    await put_rows(entry.connection, tables.manifests, [row])
    await _put_children(entry, repository_id, digest, manifest)
    # Not the foreign ones: nobody checked that they belong here, and to name a blob is not to own it (RELIABILITY A7).
    _put_links(entry, repository_id, manifest.needed, at, proven=repository.owned)
    if repository.owned:
        await restore_children(entry, repository, manifest, at)
    if row["activated_at"] == at:
        await restore_artifacts(entry, repository, digest, at)
    detail = {**manifest_detail(manifest, size, whole=whole), **_from(origin)}
    entry.changes.append(Change("manifest.put", repository, at, digest, detail=detail))
    return repository_id


class TagTaken(Exception):
    """A tag that must be new is there already."""

    def __init__(self, tag: str) -> None:
        super().__init__(tag)
        self.tag = tag


async def check_new(entry: Entry, repository: Repository, tags: Collection[str]) -> None:
    """Raise TagTaken for one of `tags` that is there: in the transaction, so that of two pushes one is refused."""
    if not tags:
        return
    table = tables.tags
    repository_id = await entry.repository_id(repository)
    taken = select(table.c.tag).where(table.c.repository_id == repository_id, table.c.tag.in_(listed(sorted(tags))))
    found = (await entry.connection.execute(taken.limit(1))).scalar()
    if found is not None:
        raise TagTaken(found)


async def set_tags(
    entry: Entry,
    repository: Repository,
    repository_id: int,
    tags: Sequence[str],
    digest: Digest,
    at: float,
    origin: str = "",
) -> None:
    """Point `tags` at `digest`."""
    rows = [{"repository_id": repository_id, "tag": tag, "digest": str(digest), "updated_at": at} for tag in tags]
    await put_rows(entry.connection, tables.tags, rows)
    entry.changes += [Change("tag.set", repository, at, digest, tag, detail=_from(origin)) for tag in tags]


async def note_pulls(entry: Entry, pulls: Mapping[tuple[Repository, Digest], float]) -> None:
    """Write when images were pulled last. Not a change: nobody follows it."""
    table = tables.manifests
    for (repository, digest), at in pulls.items():
        repository_id = await entry.repository_id(repository)
        same = table.c.repository_id == repository_id, table.c.digest == str(digest)
        await entry.connection.execute(update(table).where(*same).values(pulled_at=at))


async def count_pulls(entry: Entry, counts: Mapping[Repository, int], at: float) -> None:
    """Add to how often repositories were pulled. Not a change either; a repository that is gone takes its count along.

    The count is the text of a document of the repository, and the document's time that of the last of them.
    """
    table = tables.repository_documents
    rows = []
    for repository, count in counts.items():
        repository_id = await entry.repository_id(repository)
        if repository_id is None:
            continue
        before = select(table.c.body).where(table.c.repository_id == repository_id, table.c.kind == PULLS_KIND)
        total = count + int((await entry.connection.execute(before)).scalar() or 0)
        rows.append({"repository_id": repository_id, "kind": PULLS_KIND, "body": str(total), "updated_at": at})
    await put_rows(entry.connection, table, rows)


class NamedByLists(Exception):
    """Manifest lists of the repository name what was to be deleted."""

    def __init__(self, lists: Sequence[Digest]) -> None:
        super().__init__(lists)
        self.lists = lists


async def delete_image(entry: Entry, repository: Repository, digest: Digest, at: float) -> bool:
    """Delete an image as `delete_manifest` does. Raises NamedByLists: in the transaction, so that no list slips in."""
    await _check_unnamed(entry, await entry.repository_id(repository), str(digest))
    return await delete_manifest(entry, repository, digest, at)


async def _check_unnamed(entry: Entry, repository_id: int | None, digest: str) -> None:
    table = tables.manifest_children
    lists = select(table.c.manifest).where(
        table.c.repository_id == repository_id, table.c.digest == digest, table.c.kind == "manifest"
    )
    found = (await entry.connection.execute(lists.order_by(table.c.manifest).limit(_LISTS_MAX))).scalars().all()
    if found:
        raise NamedByLists([parse_digest(one) for one in found])


async def untag(entry: Entry, repository: Repository, tag: str, at: float) -> Digest | None:
    """Delete a tag, and the image with its last tag (ECR guide, "Deleting an image"); return the tag's digest.

    Raises NamedByLists where the image would go and lists need it.
    """
    repository_id = await entry.repository_id(repository)
    table = tables.tags
    chosen = select(table.c.digest).where(table.c.repository_id == repository_id, table.c.tag == tag)
    found = (await entry.connection.execute(chosen)).scalar()
    if found is None:
        return None
    digest = parse_digest(found)
    others = select(func.count()).where(
        table.c.repository_id == repository_id, table.c.digest == found, table.c.tag != tag
    )
    if (await entry.connection.execute(others)).scalar_one():
        await delete_tag(entry, repository, tag, at)
    else:
        await delete_image(entry, repository, digest, at)
    return digest


async def delete_tag(entry: Entry, repository: Repository, tag: str, at: float) -> bool:
    """Delete a tag; tell whether it was there."""
    repository_id = await entry.repository_id(repository)
    removed = await remove(entry, tables.tags, repository_id=repository_id, tag=tag)
    if removed:
        entry.changes.append(Change("tag.deleted", repository, at, tag=tag))
    return removed > 0


async def delete_manifest(entry: Entry, repository: Repository, digest: Digest, at: float) -> bool:
    """Delete a manifest, its children's rows, and the tags that point at it; tell whether it was there."""
    repository_id = await entry.repository_id(repository)
    row = {"repository_id": repository_id, "digest": str(digest)}
    await suspect_image(entry, repository_id, digest, at)
    removed = await remove(entry, tables.manifests, **row)
    if not removed:
        return False
    table = tables.tags
    pointing = select(table.c.tag).where(table.c.repository_id == repository_id, table.c.digest == str(digest))
    # Put in order here: asked to do it, SQLite reads all tags of the repository, which are in order already.
    names = sorted((await entry.connection.execute(pointing)).scalars())
    await remove(entry, table, **row)
    await remove(entry, tables.repository_documents, repository_id=repository_id, kind=f"{SCAN_KIND}{digest}")
    entry.changes += [Change("tag.deleted", repository, at, digest, tag) for tag in names]
    entry.changes.append(Change("manifest.deleted", repository, at, digest))
    return True


async def link_blob(
    entry: Entry, repository: Repository, digest: Digest, size: int, media_type: str, at: float
) -> None:
    """Let `repository` serve a blob whose bytes are here."""
    repository_id = await entry.make_repository(repository, at)
    _put_links(entry, repository_id, [Descriptor(media_type, digest, size)], at, proven=True)
    detail = {"size": size, "media_type": media_type}
    entry.changes.append(Change("blob.linked", repository, at, digest, detail=detail))


async def unlink_blob(entry: Entry, repository: Repository, digest: Digest, at: float) -> bool:
    """Stop serving a blob in `repository`; tell whether it was served."""
    repository_id = await entry.repository_id(repository)
    await entry.write_links()
    removed = await remove(entry, tables.blob_links, repository_id=repository_id, digest=str(digest))
    if removed:
        await suspect(entry, [digest], at)
        entry.changes.append(Change("blob.unlinked", repository, at, digest))
    return removed > 0


def _from(origin: str) -> dict[str, str]:
    return {"origin": origin} if origin else {}


async def _put_children(entry: Entry, repository_id: int, digest: Digest, manifest: Manifest) -> None:
    of = {"repository_id": repository_id, "manifest": str(digest)}
    kinds = [(blob, "foreign" if blob.foreign else "blob") for blob in manifest.blobs]
    kinds += [(child, "manifest") for child in manifest.manifests]
    # One layer may stand in an image twice: one row is enough, the first one's.
    rows = {child.digest: of | _described(child) | {"kind": kind} for child, kind in reversed(kinds)}
    await put_rows(entry.connection, tables.manifest_children, list(rows.values()))


def _put_links(entry: Entry, repository_id: int, blobs: Iterable[Descriptor], at: float, *, proven: bool) -> None:
    of = {"repository_id": repository_id, "linked_at": at, "proven": proven}
    for blob in blobs:
        entry.put_link(of | _described(blob))


async def _image_size(entry: Entry, repository_id: int, manifest: Manifest) -> int:
    """Sum what an image names; a list counts as its largest child here (ECR guide, "imageSizeInBytes")."""
    if not manifest.manifests:
        return sum(blob.size for blob in manifest.blobs)
    table = tables.manifests
    children = listed(str(child.digest) for child in manifest.manifests[:CHILDREN_ASKED_MAX])
    largest = select(func.max(table.c.image_size)).where(
        table.c.repository_id == repository_id, table.c.digest.in_(children)
    )
    return (await entry.connection.execute(largest)).scalar() or 0


async def _kept(entry: Entry, row: Mapping[str, Any], at: float) -> dict[str, Any]:
    """Say what a manifest that comes again keeps: its first push and its last pull. An archived one is restored."""
    table = tables.manifests
    same = select(table).where(table.c.repository_id == row["repository_id"], table.c.digest == row["digest"])
    old = (await entry.connection.execute(same)).mappings().first()
    if old is None:
        return {"pushed_at": at, "status": "ACTIVE", "archived_at": None, "activated_at": None, "pulled_at": None}
    kept = {name: old[name] for name in ("pushed_at", "archived_at", "activated_at", "pulled_at")}
    if old["status"] != "ACTIVE":
        kept["activated_at"] = at
    return {**kept, "status": "ACTIVE"}


def _described(descriptor: Descriptor) -> dict[str, Any]:
    return {"digest": str(descriptor.digest), "size": descriptor.size, "media_type": descriptor.media_type}


async def remove(entry: Entry, table: Table, **row: object) -> int:
    """Delete the rows that have these values; return how many there were."""
    found = await entry.connection.execute(
        delete(table).where(*(table.c[column] == value for column, value in row.items()))
    )
    return found.rowcount
