"""What the verbs on repositories themselves do to the rows, and the changes that they leave in the log.

Runs inside the ledger's transaction, as `mutations.py` does.
"""

from collections.abc import Callable

import orjson
from sqlalchemy import select, update

from mirror.oci.digest import parse_digest
from mirror.oci.names import Repository
from mirror.store import tables
from mirror.store.changes import Change
from mirror.store.ledger import Entry, named
from mirror.store.mutations import remove
from mirror.store.rows import put_rows
from mirror.store.unneeded import suspect_repository


async def create_repository(entry: Entry, repository: Repository, settings: bytes, at: float) -> bool:
    """Make a repository; False when it is there already."""
    if await entry.repository_id(repository) is not None:
        return False
    await entry.make_repository(repository, at, settings)
    return True


async def change_settings(
    entry: Entry, repository: Repository, change: Callable[[bytes], bytes], at: float
) -> bytes | None:
    """Let `change` make new settings of the old ones; return them, or None when there is no such repository."""
    table = tables.repositories
    old = (await entry.connection.execute(select(table.c.settings).where(*named(repository)))).scalar()
    if old is None:
        return None
    new = change(old.encode())
    await entry.connection.execute(update(table).where(*named(repository)).values(settings=new.decode()))
    entry.changes.append(Change("repository.changed", repository, at, detail=orjson.loads(new)))
    return new


async def delete_repository(entry: Entry, repository: Repository, at: float, *, force: bool) -> bool | None:
    """Delete a repository with all it has; False when it has images and not `force`, None when it is not there."""
    repository_id = await entry.repository_id(repository)
    if repository_id is None:
        return None
    await entry.write_links()
    image, tag = tables.manifests.c, tables.tags.c
    chosen = select(image.digest).where(image.repository_id == repository_id)
    images = (await entry.connection.execute(chosen if force else chosen.limit(1))).scalars().all()
    if images and not force:
        return False
    chosen_tags = select(tag.tag, tag.digest).where(tag.repository_id == repository_id)
    tags = (await entry.connection.execute(chosen_tags)).all()
    entry.changes += [Change("tag.deleted", repository, at, parse_digest(digest), name) for name, digest in tags]
    entry.changes += [Change("manifest.deleted", repository, at, parse_digest(digest)) for digest in images]
    await suspect_repository(entry, repository_id, at)
    await remove(entry, tables.repositories, id=repository_id)
    entry.forget(repository)
    entry.changes.append(Change("repository.deleted", repository, at))
    return True


async def rename_repository(entry: Entry, old: Repository, new: Repository, at: float) -> bool:
    """Let a repository be another one, which is not there yet; False when it is, or the old one is not."""
    if await entry.repository_id(old) is None or await entry.repository_id(new) is not None:
        return False
    row = {"registry": str(new.registry), "upstream": new.upstream, "name": new.name}
    await entry.connection.execute(update(tables.repositories).where(*named(old)).values(row))
    entry.forget(old)
    entry.changes.append(Change("repository.renamed", new, at, detail={"upstream": old.upstream, "name": old.name}))
    return True


async def put_document(entry: Entry, repository: Repository, kind: str, body: str | None, at: float) -> bool:
    """Write a repository's document, or delete it where `body` is None; tell whether there was anything to do it to."""
    repository_id = await entry.repository_id(repository)
    if repository_id is None:
        return False
    row = {"repository_id": repository_id, "kind": kind}
    if body is None:
        if not await remove(entry, tables.repository_documents, **row):
            return False
    else:
        rows = [{**row, "body": body, "updated_at": at}]
        await put_rows(entry.connection, tables.repository_documents, rows)
    detail = {"kind": kind, "there": body is not None}
    entry.changes.append(Change("repository.document", repository, at, detail=detail))
    return True
