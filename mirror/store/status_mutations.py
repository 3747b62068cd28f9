"""What archiving and restoring do to the rows, and the changes that they leave in the log.

Source: ECR.md 2.9, "Archive". Runs inside the ledger's transaction, as `mutations.py` does.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, select, update

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository
from mirror.store import tables
from mirror.store.changes import Change
from mirror.store.ledger import Entry
from mirror.store.rows import listed

CHILDREN_ASKED_MAX: Final = 1_000  # a statement takes some thousand values; real lists have a dozen children
_ARTIFACTS_MAX: Final = 1_000  # restored with one subject: pushes wait meanwhile


async def set_status(entry: Entry, repository: Repository, digest: Digest, status: str, at: float) -> bool:
    """Make an image ACTIVE or ARCHIVED; tell whether it was there. With one that is restored its artifacts are."""
    is_there = await _set(entry, repository, digest, status, at)
    if is_there and status == "ACTIVE":
        await restore_artifacts(entry, repository, digest, at)
    return is_there


async def restore_artifacts(entry: Entry, repository: Repository, subject: Digest, at: float) -> None:
    """Restore the archived artifacts of an image, and theirs: they went to the archive with it."""
    waiting = [subject]
    while waiting:
        chosen = tables.manifests.c.subject == str(waiting.pop())
        artifacts = await _archived(entry, repository, chosen, _ARTIFACTS_MAX)
        for artifact in artifacts:
            await _set(entry, repository, artifact, "ACTIVE", at)
        waiting.extend(artifacts)


async def restore_children(entry: Entry, repository: Repository, manifest: Manifest, at: float) -> None:
    """Restore the archived children of a list that is pushed: it could not be pulled without them."""
    children = listed(str(child.digest) for child in manifest.manifests[:CHILDREN_ASKED_MAX])
    if children:
        chosen = tables.manifests.c.digest.in_(children)
        for child in await _archived(entry, repository, chosen, CHILDREN_ASKED_MAX):
            await set_status(entry, repository, child, "ACTIVE", at)


async def _set(entry: Entry, repository: Repository, digest: Digest, status: str, at: float) -> bool:
    repository_id = await entry.repository_id(repository)
    table = tables.manifests
    moment = {"archived_at": at} if status == "ARCHIVED" else {"activated_at": at}
    same = table.c.repository_id == repository_id, table.c.digest == str(digest)
    changed = update(table).where(*same).values(status=status, **moment)
    told = changed.returning(table.c.media_type, table.c.artifact_type, table.c.subject)
    found = (await entry.connection.execute(told)).mappings().first()
    if found is not None:
        detail = {"status": status, **{str(column): value for column, value in found.items()}}
        entry.changes.append(Change("manifest.status", repository, at, digest, detail=detail))
    return found is not None


async def _archived(entry: Entry, repository: Repository, which: ColumnElement[Any], limit: int) -> Sequence[Digest]:
    table = tables.manifests
    chosen = select(table.c.digest).where(
        table.c.repository_id == await entry.repository_id(repository), which, table.c.status != "ACTIVE"
    )
    return [parse_digest(found) for found in (await entry.connection.execute(chosen.limit(limit))).scalars()]
