"""Lifecycle rows: which repositories have a policy, their images as its rules judge them, and what is done to those.

Source: ECR.md 2.3. An image is acted on only while it is what was judged: what was pushed, tagged, pulled or put into a
list since is seen inside the transaction, and left for the next run. SQL only: pulls never come here.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mirror.oci.digest import parse_digest
from mirror.oci.names import Repository, read_registry
from mirror.rules import lifecycle
from mirror.store import mutations, tables
from mirror.store.database import Database
from mirror.store.images import PAGE_MAX, Image, images_of, read_images
from mirror.store.ledger import Entry, Ledger, named
from mirror.store.repository_mutations import put_document
from mirror.store.rows import listed
from mirror.store.status_mutations import set_status

LIFECYCLE: Final = "lifecycle"  # the kind of repository document that a policy is
EVALUATED: Final = "lifecycle-evaluated"  # an empty document whose time is that of the last run
PAGE: Final = 500  # repositories looked at in one read

Known = Mapping[str, lifecycle.Image]  # by digest: what a repository had when it was judged


@dataclass(frozen=True, slots=True)
class Standing:
    """That a repository has a policy, since when (unix seconds), and when it was run; None: not since it was put."""

    id: int
    repository: Repository
    put_at: float
    evaluated_at: float | None


class PolicyChanged(Exception):
    """The policy that was to be carried out is not the repository's any more."""


class LifecycleRows:
    """The policies of all repositories, as rows."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    async def page(self, after: int = 0) -> list[Standing]:
        """List repositories with a policy behind the id `after`, by id."""
        return await self._standings(
            _standings().where(tables.repositories.c.id > after).order_by(tables.repositories.c.id).limit(PAGE)
        )

    async def standing(self, repository: Repository) -> Standing | None:
        """Return how a repository's policy stands; None where it has none."""
        found = await self._standings(_standings().where(*named(repository)))
        return found[0] if found else None

    async def images(self, repository: Repository, after: str = "") -> list[lifecycle.Image]:
        """List images behind the digest `after` as the rules see them, by digest."""
        chosen = images_of(repository).where(tables.manifests.c.digest > after)
        async with self._database.read() as connection:
            return await _judged(connection, repository, chosen.order_by(tables.manifests.c.digest).limit(PAGE_MAX))

    async def note_run(self, repository: Repository, at: float) -> None:
        """Write that the policy was run at `at`; nothing where the repository is gone."""
        await self._ledger.commit(lambda entry: put_document(entry, repository, EVALUATED, "", at), frees=True)

    async def act(
        self, repository: Repository, text: str, actions: Sequence[lifecycle.Action], known: Known, at: float
    ) -> list[lifecycle.Action]:
        """Do `actions` (some hundred at most) in one transaction; return those that were done.

        Left out is an action whose image, or the subject that it follows, is not what `known` says any more. Raises
        PolicyChanged unless `text` is the policy still: a policy that was taken away does nothing more.
        """
        return await self._ledger.commit(lambda entry: _act(entry, repository, text, actions, known, at), frees=True)

    async def _standings(self, chosen: Select[Any]) -> list[Standing]:
        async with self._database.read() as connection:
            rows = (await connection.execute(chosen)).mappings().all()
        return [_standing(row) for row in rows]


def _standings() -> Select[Any]:
    table = tables.repositories
    policy, run = tables.repository_documents.alias("policy"), tables.repository_documents.alias("run")
    times = policy.c.updated_at.label("put_at"), run.c.updated_at.label("run_at")
    return (
        select(table.c.id, table.c.registry, table.c.upstream, table.c.name, *times)
        .join(policy, and_(policy.c.repository_id == table.c.id, policy.c.kind == LIFECYCLE))
        .outerjoin(run, and_(run.c.repository_id == table.c.id, run.c.kind == EVALUATED))
    )


def _standing(row: Mapping[Any, Any]) -> Standing:
    put_at, run_at = row["put_at"], row["run_at"]
    repository = Repository(read_registry(row["registry"]), row["upstream"], row["name"])
    return Standing(row["id"], repository, put_at, run_at if run_at is not None and run_at >= put_at else None)


async def _act(
    entry: Entry, repository: Repository, text: str, actions: Sequence[lifecycle.Action], known: Known, at: float
) -> list[lifecycle.Action]:
    await _check_policy(entry, repository, text)
    digests = {action.image.digest for action in actions} | {action.follows for action in actions}
    chosen = images_of(repository).where(tables.manifests.c.digest.in_(listed(digests)))
    there = {image.digest: image for image in await _judged(entry.connection, repository, chosen)}
    done = []
    for action in actions:
        digest = action.image.digest
        if any(there.get(one) != known.get(one) for one in (digest, action.follows)):
            continue
        if action.type == "expire":
            await mutations.delete_manifest(entry, repository, parse_digest(digest), at)
        else:
            await set_status(entry, repository, parse_digest(digest), "ARCHIVED", at)
        done.append(action)
    return done


async def _check_policy(entry: Entry, repository: Repository, text: str) -> None:
    table = tables.repository_documents
    chosen = select(table.c.body).where(
        table.c.repository_id == await entry.repository_id(repository), table.c.kind == LIFECYCLE
    )
    if (await entry.connection.execute(chosen)).scalar() != text:
        raise PolicyChanged


async def _judged(connection: AsyncConnection, repository: Repository, chosen: Select[Any]) -> list[lifecycle.Image]:
    found = await read_images(connection, repository, chosen)
    lists = await _lists(connection, repository, [str(image.digest) for image in found])
    return [_image(image, lists.get(str(image.digest), ())) for image in found]


async def _lists(
    connection: AsyncConnection, repository: Repository, digests: Collection[str]
) -> Mapping[str, Sequence[str]]:
    """Return, for those of `digests` that lists of `repository` name, the digests of those lists."""
    table = tables.manifest_children
    chosen = (
        select(table.c.digest, table.c.manifest)
        .join(tables.repositories, tables.repositories.c.id == table.c.repository_id)
        .where(*named(repository), table.c.digest.in_(listed(digests)), table.c.kind == "manifest")
        .order_by(table.c.manifest)
    )
    found: dict[str, list[str]] = {}
    for digest, manifest in await connection.execute(chosen):
        found.setdefault(digest, []).append(manifest)
    return found


def _image(image: Image, lists: Sequence[str]) -> lifecycle.Image:
    return lifecycle.Image(
        digest=str(image.digest),
        pushed_at=image.pushed_at,
        tags=image.tags,
        pulled_at=image.pulled_at,
        storage_class="archive" if image.status == "ARCHIVED" else "standard",
        archived_at=image.archived_at,
        activated_at=image.activated_at,
        referenced_by=tuple(lists),
        subject=image.subject or "",
    )
