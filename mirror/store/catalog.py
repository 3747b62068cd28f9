"""The catalog: the names of the registry. Every mutation is one SQL transaction of rows and changes; reads are pages.

Source: DESIGN section 2. Warm pulls never come here: they are the index's. Bytes are published before their names are
put; nothing here looks at a file's content.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import orjson
from sqlalchemy import Select, select, tuple_

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.manifest import CHILDREN_MAX, Manifest
from mirror.oci.names import Repository
from mirror.store import mutations, tables
from mirror.store.changelog import read_changes
from mirror.store.changes import Change
from mirror.store.database import Database
from mirror.store.entries import BlobEntry, blob_entry
from mirror.store.ledger import Entry, Ledger

ROWS_MAX: Final = 3 * CHILDREN_MAX  # of one answer: no manifest that we took has more children

ChildKind = Literal["blob", "foreign", "manifest"]


@dataclass(frozen=True, slots=True)
class Referrer:
    """A manifest whose subject is the one asked about. `size` in bytes."""

    media_type: str
    digest: Digest
    size: int
    artifact_type: str
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Child:
    """What a manifest names: a blob, a foreign blob, or a manifest. `size` in bytes, as the manifest claims."""

    digest: Digest
    size: int
    media_type: str
    kind: ChildKind


class Catalog:
    """The verbs on names. Mutations return when they are committed and in the index."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    async def put_manifest(
        self,
        repository: Repository,
        digest: Digest,
        manifest: Manifest,
        size: int,
        tags: Sequence[str],
        at: float,
        *,
        whole: bool,
        body: bytes | None = None,
    ) -> None:
        """Put a manifest whose bytes (`size` of them; `body` saves reading them again) are published, and tag it.

        Makes the repository if need be and links each blob that the manifest needs, here or not. `whole` says that all
        of them are here. `at` is in unix seconds.
        """

        async def put(entry: Entry) -> None:
            if body is not None:
                entry.seen[digest] = blob_entry(body)
            repository_id = await mutations.put_manifest(entry, repository, digest, manifest, size, at, whole=whole)
            await mutations.set_tags(entry, repository, repository_id, list(dict.fromkeys(tags)), digest, at)

        await self._ledger.commit(put)

    async def link_blob(
        self,
        repository: Repository,
        digest: Digest,
        size: int,
        media_type: str,
        at: float,
        *,
        blob: BlobEntry | None = None,
    ) -> None:
        """Let `repository` serve a published blob: after a push (`blob` saves a look at the file) or a mount."""

        async def link(entry: Entry) -> None:
            if blob is not None:
                entry.seen[digest] = blob
            await mutations.link_blob(entry, repository, digest, size, media_type, at)

        await self._ledger.commit(link)

    async def set_tag(self, repository: Repository, tag: str, digest: Digest, at: float) -> None:
        """Point `tag` at a manifest that `repository` has."""

        async def put(entry: Entry) -> None:
            repository_id = await entry.make_repository(repository, at)
            await mutations.set_tags(entry, repository, repository_id, [tag], digest, at)

        await self._ledger.commit(put)

    async def delete_tag(self, repository: Repository, tag: str, at: float) -> bool:
        """Delete a tag; tell whether it was there."""
        return await self._ledger.commit(lambda entry: mutations.delete_tag(entry, repository, tag, at))

    async def delete_manifest(self, repository: Repository, digest: Digest, at: float) -> bool:
        """Delete a manifest and its tags; tell whether it was there. The bytes stay for other repositories."""
        return await self._ledger.commit(lambda entry: mutations.delete_manifest(entry, repository, digest, at))

    async def unlink_blob(self, repository: Repository, digest: Digest, at: float) -> bool:
        """Stop serving a blob in `repository`; tell whether it was served. The bytes stay."""
        return await self._ledger.commit(lambda entry: mutations.unlink_blob(entry, repository, digest, at))

    async def referrers(self, repository: Repository, subject: Digest) -> list[Referrer]:
        """List the manifests of `repository` whose subject is `subject`, by digest."""
        table = tables.manifests
        rows = await self._rows(
            select(table)
            .join(tables.repositories)
            .where(*_is(repository), table.c.subject == str(subject))
            .order_by(table.c.digest)
        )
        return [
            Referrer(
                row["media_type"],
                parse_digest(row["digest"]),
                row["size"],
                row["artifact_type"],
                orjson.loads(row["annotations"]),
            )
            for row in rows
        ]

    async def repositories(
        self, last: Repository | None, limit: int, upstreams: Collection[str] | None = None
    ) -> list[Repository]:
        """List up to `limit` repositories after `last`: our own first, then by upstream; of `upstreams` where given."""
        table = tables.repositories
        chosen = select(table.c.upstream, table.c.name).order_by(table.c.upstream, table.c.name)
        if upstreams is not None:
            chosen = chosen.where(table.c.upstream.in_(("", *upstreams)))
        if last is not None:
            chosen = chosen.where(tuple_(table.c.upstream, table.c.name) > (last.upstream, last.name))
        rows = await self._rows(chosen, limit)
        return [Repository(row["upstream"], row["name"]) for row in rows]

    async def blob_repositories(self, digest: Digest) -> list[Repository]:
        """List the repositories that may serve a blob: where it can be mounted from."""
        table = tables.repositories
        chosen = select(table.c.upstream, table.c.name).join(tables.blob_links)
        rows = await self._rows(chosen.where(tables.blob_links.c.digest == str(digest)).order_by(table.c.id))
        return [Repository(row["upstream"], row["name"]) for row in rows]

    async def children(self, repository: Repository, digest: Digest) -> list[Child]:
        """List what a manifest of `repository` names, each digest once."""
        table = tables.manifest_children
        chosen = select(table).join(tables.repositories, tables.repositories.c.id == table.c.repository_id)
        rows = await self._rows(chosen.where(*_is(repository), table.c.manifest == str(digest)))
        return [
            Child(parse_digest(row["digest"]), row["size"], row["media_type"], cast("ChildKind", row["kind"]))
            for row in rows
        ]

    async def changes(self, after: int, limit: int) -> list[Change]:
        """Read up to `limit` changes of the log behind the seq `after`, oldest first: what a consumer's cursor does."""
        return await read_changes(self._database, after, limit)

    async def _rows(self, chosen: Select[Any], limit: int = ROWS_MAX) -> Sequence[Mapping[str, Any]]:
        async with self._database.read() as connection:
            found = await connection.execute(chosen.limit(min(limit, ROWS_MAX)))
            return cast("Sequence[Mapping[str, Any]]", found.mappings().all())


def _is(repository: Repository) -> tuple[Any, Any]:
    table = tables.repositories
    return table.c.upstream == repository.upstream, table.c.name == repository.name
