"""The catalog: the names of the registry. Every mutation is one SQL transaction of rows and changes; reads are pages.

Source: DESIGN section 2. Warm pulls never come here: they are the index's. Bytes are published before their names are
put; nothing here looks at a file's content.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import orjson
from sqlalchemy import Select, select, tuple_

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.manifest import CHILDREN_MAX, Manifest
from mirror.oci.names import Registry, Repository
from mirror.store import mutations, repository_mutations, tables
from mirror.store.changelog import origin_of, read_changes
from mirror.store.changes import Change
from mirror.store.database import Database
from mirror.store.entries import BlobEntry, blob_entry
from mirror.store.ledger import Entry, Ledger, named

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

    async def put_manifest(  # noqa: PLR0913 - what a manifest is, and what it is called
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
        new_only: Collection[str] = (),
        parts: Collection[Digest] = (),
        origin: str = "",
    ) -> None:
        """Put a manifest whose bytes (`size` of them; `body` saves reading them again) are published, and tag it.

        Makes the repository if need be and links each blob that the manifest needs, here or not. `whole` says that all
        of them are here. `at` is in unix seconds. `origin`: the registry that it was replicated from.
        Raises TagTaken when one of `new_only` is there already, PartsGone when one of `parts` has no bytes here.
        """

        async def put(entry: Entry) -> None:
            if body is not None:
                entry.seen[digest] = blob_entry(body)
            entry.check_here(parts)
            await mutations.check_new(entry, repository, new_only)
            repository_id = await mutations.put_manifest(
                entry, repository, digest, manifest, size, at, whole=whole, origin=origin
            )
            names = list(dict.fromkeys(tags))
            await mutations.set_tags(entry, repository, repository_id, names, digest, at, origin)

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
        must_be_here: bool = False,
    ) -> None:
        """Let `repository` serve a published blob: after a push (`blob` saves a look at the file) or a mount.

        Raises PartsGone when it `must_be_here` and is not.
        """

        async def link(entry: Entry) -> None:
            if must_be_here:
                entry.check_here([digest])
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
        return await self._ledger.commit(lambda entry: mutations.delete_tag(entry, repository, tag, at), frees=True)

    async def delete_manifest(self, repository: Repository, digest: Digest, at: float) -> bool:
        """Delete a manifest and its tags; tell whether it was there. The bytes stay for other repositories."""
        return await self._ledger.commit(
            lambda entry: mutations.delete_manifest(entry, repository, digest, at), frees=True
        )

    async def unlink_blob(self, repository: Repository, digest: Digest, at: float) -> bool:
        """Stop serving a blob in `repository`; tell whether it was served. The bytes stay."""
        return await self._ledger.commit(lambda entry: mutations.unlink_blob(entry, repository, digest, at), frees=True)

    # Repositories.

    async def create_repository(self, repository: Repository, settings: bytes, at: float) -> bool:
        """Make a repository with `settings` (JSON); False when it is there already."""
        return await self._ledger.commit(
            lambda entry: repository_mutations.create_repository(entry, repository, settings, at)
        )

    async def change_settings(
        self, repository: Repository, change: Callable[[bytes], bytes], at: float
    ) -> bytes | None:
        """Let `change` make new settings of the old ones, both JSON; None when there is no such repository."""
        return await self._ledger.commit(
            lambda entry: repository_mutations.change_settings(entry, repository, change, at)
        )

    async def delete_repository(self, repository: Repository, at: float, *, force: bool) -> bool | None:
        """Delete a repository and all it has; False when it has images and not `force`, None when it is not there."""
        return await self._ledger.commit(
            lambda entry: repository_mutations.delete_repository(entry, repository, at, force=force), frees=True
        )

    async def rename_repository(self, old: Repository, new: Repository, at: float) -> bool:
        """Let a repository be another one of its registry, with all that it has; False when that cannot be."""
        return await self._ledger.commit(lambda entry: repository_mutations.rename_repository(entry, old, new, at))

    async def put_document(self, repository: Repository, kind: str, body: str | None, at: float) -> bool:
        """Write a long text of a repository, or delete it (None); tell whether there was one to write or delete."""
        return await self._ledger.commit(
            lambda entry: repository_mutations.put_document(entry, repository, kind, body, at)
        )

    async def document(self, repository: Repository, kind: str) -> str | None:
        """Return a long text of a repository: its lifecycle policy, its catalogue data."""
        table = tables.repository_documents
        chosen = select(table.c.body).join(tables.repositories).where(*named(repository), table.c.kind == kind)
        rows = await self._rows(chosen, 1)
        return str(rows[0]["body"]) if rows else None

    # Reads.

    async def referrers(self, repository: Repository, subject: Digest) -> list[Referrer]:
        """List the manifests of `repository` whose subject is `subject`, by digest."""
        table = tables.manifests
        rows = await self._rows(
            select(table)
            .join(tables.repositories)
            .where(*named(repository), table.c.subject == str(subject))
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
        self, registry: Registry, last: Repository | None, limit: int, upstreams: Collection[str] | None = None
    ) -> list[Repository]:
        """List up to `limit` repositories of `registry` after `last`: its own first, then by upstream."""
        table = tables.repositories
        chosen = select(table.c.upstream, table.c.name).order_by(table.c.upstream, table.c.name)
        chosen = chosen.where(table.c.registry == str(registry))
        if upstreams is not None:
            chosen = chosen.where(table.c.upstream.in_(("", *upstreams)))
        if last is not None:
            chosen = chosen.where(tuple_(table.c.upstream, table.c.name) > (last.upstream, last.name))
        rows = await self._rows(chosen, limit)
        return [Repository(registry, row["upstream"], row["name"]) for row in rows]

    async def blob_repositories(self, registry: Registry, digest: Digest) -> list[Repository]:
        """List the repositories of `registry` that have a blob, proven: where it can be mounted from."""
        table, links = tables.repositories, tables.blob_links
        chosen = select(table.c.upstream, table.c.name).join(links).where(table.c.registry == str(registry))
        rows = await self._rows(chosen.where(links.c.digest == str(digest), links.c.proven).order_by(table.c.id))
        return [Repository(registry, row["upstream"], row["name"]) for row in rows]

    async def children(self, repository: Repository, digest: Digest) -> list[Child]:
        """List what a manifest of `repository` names, each digest once."""
        table = tables.manifest_children
        chosen = select(table).join(tables.repositories, tables.repositories.c.id == table.c.repository_id)
        rows = await self._rows(chosen.where(*named(repository), table.c.manifest == str(digest)))
        return [
            Child(parse_digest(row["digest"]), row["size"], row["media_type"], cast("ChildKind", row["kind"]))
            for row in rows
        ]

    async def origin(self, repository: Repository, digest: Digest) -> str:
        """Return the registry, `account/region`, that a manifest was replicated from; "" where it was not."""
        return await origin_of(self._database, repository, digest)

    async def changes(self, after: int, limit: int) -> list[Change]:
        """Read up to `limit` changes of the log behind the seq `after`, oldest first: what a consumer's cursor does."""
        return await read_changes(self._database, after, limit)

    async def _rows(self, chosen: Select[Any], limit: int = ROWS_MAX) -> Sequence[Mapping[str, Any]]:
        async with self._database.read() as connection:
            found = await connection.execute(chosen.limit(min(limit, ROWS_MAX)))
            return cast("Sequence[Mapping[str, Any]]", found.mappings().all())
