"""Images: manifests as the ECR API sees them, with tags, sizes, times and status. SQL only: pulls never come here.

Source: ECR API reference, ImageDetail.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Select, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.names import Repository
from mirror.store import mutations, tables
from mirror.store.database import Database
from mirror.store.ledger import Ledger, named
from mirror.store.rows import listed
from mirror.store.status_mutations import set_status
from mirror.store.usage import Usage, read_usage

PAGE_MAX: Final = 1_000  # of DescribeImages and ListImages
LISTS_MAX: Final = 100  # named in a refusal

Status = Literal["ACTIVE", "ARCHIVED"]
Pulls = Mapping[tuple[Repository, Digest], float]  # when (unix seconds) images were pulled


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest and what is known of it. Times in unix seconds; `image_size` in bytes."""

    digest: Digest
    tags: tuple[str, ...]
    tagged_at: tuple[float, ...]
    media_type: str
    artifact_type: str
    size: int
    image_size: int
    subject: str | None
    annotations: str
    pushed_at: float
    status: Status
    archived_at: float | None
    activated_at: float | None
    pulled_at: float | None


class Images:
    """The images of all repositories."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    async def page(
        self,
        repository: Repository,
        *,
        after: str = "",
        limit: int = PAGE_MAX,
        status: Status | None = None,
        tagged: bool | None = None,
    ) -> list[Image]:
        """List up to `limit` images after the digest `after`, by digest; of one status, tagged or untagged if asked."""
        table = tables.manifests
        chosen = images_of(repository).where(table.c.digest > after).order_by(table.c.digest).limit(limit)
        if status is not None:
            chosen = chosen.where(table.c.status == status)
        if tagged is not None:
            has_tag = exists().where(
                tables.tags.c.repository_id == table.c.repository_id, tables.tags.c.digest == table.c.digest
            )
            chosen = chosen.where(has_tag if tagged else ~has_tag)
        return await self._read(repository, chosen)

    async def roots(self, repository: Repository, after: str, limit: int) -> list[Image]:
        """List as `page` does what somebody pulls by its own name: what has a tag, or is part of nothing else."""
        table, child, tag = tables.manifests.c, tables.manifest_children.c, tables.tags.c
        has_tag = exists().where(tag.repository_id == table.repository_id, tag.digest == table.digest)
        in_list = exists().where(child.repository_id == table.repository_id, child.digest == table.digest)
        alone = and_(table.subject.is_(None), ~in_list)
        chosen = images_of(repository).where(table.digest > after, or_(has_tag, alone))
        return await self._read(repository, chosen.order_by(table.digest).limit(limit))

    async def find(self, repository: Repository, digests: Sequence[Digest]) -> dict[Digest, Image]:
        """Return those of `digests` (some hundred at most) that are images of `repository`."""
        wanted = listed(str(digest) for digest in digests)
        found = await self._read(repository, images_of(repository).where(tables.manifests.c.digest.in_(wanted)))
        return {image.digest: image for image in found}

    async def pulled_last(self, repository: Repository, limit: int) -> list[Image]:
        """List the images that were pulled last, the newest pull first."""
        at = tables.manifests.c.pulled_at
        return await self._read(
            repository, images_of(repository).where(at.is_not(None)).order_by(at.desc()).limit(limit)
        )

    async def lists_of(self, repository: Repository, digest: Digest) -> list[Digest]:
        """List the manifest lists of `repository` that name `digest`, LISTS_MAX at most."""
        table = tables.manifest_children
        chosen = (
            select(table.c.manifest)
            .join(tables.repositories, tables.repositories.c.id == table.c.repository_id)
            .where(*named(repository), table.c.digest == str(digest), table.c.kind == "manifest")
            .order_by(table.c.manifest)
            .limit(LISTS_MAX)
        )
        async with self._database.read() as connection:
            return [parse_digest(found) for found in (await connection.execute(chosen)).scalars()]

    async def named_by_an_image(self, repository: Repository, digest: Digest) -> tuple[str, Status] | None:
        """Return the media type under which an image names a blob, and the image's status; None when none does."""
        return (await self.named_by_images(repository, [digest])).get(digest)

    async def named_by_images(
        self, repository: Repository, digests: Sequence[Digest]
    ) -> dict[Digest, tuple[str, Status]]:
        """Return, for those of some hundred blobs that an image names, the media type there, and the image's status.

        One that can be pulled goes before an archived one.
        """
        table, image = tables.manifest_children, tables.manifests
        # The media type is the one of the row that has the minimum (SQLite, "Bare columns in an aggregate query").
        chosen = (
            select(table.c.digest, table.c.media_type, func.min(image.c.status))
            .join(tables.repositories, tables.repositories.c.id == table.c.repository_id)
            .join(image, and_(image.c.repository_id == table.c.repository_id, image.c.digest == table.c.manifest))
            .where(*named(repository), table.c.digest.in_(listed(map(str, digests))), table.c.kind != "manifest")
            .group_by(table.c.digest)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(chosen)).all()
        return {parse_digest(digest): (media_type, status) for digest, media_type, status in rows}

    async def untag(self, repository: Repository, tag: str, at: float) -> Digest | None:
        """Delete a tag, and the image with its last one; return the digest that it had. Raises NamedByLists."""
        return await self._ledger.commit(lambda entry: mutations.untag(entry, repository, tag, at), frees=True)

    async def delete(self, repository: Repository, digest: Digest, at: float) -> bool:
        """Delete an image and its tags; tell whether it was there. Raises NamedByLists where lists need it."""
        return await self._ledger.commit(
            lambda entry: mutations.delete_image(entry, repository, digest, at), frees=True
        )

    async def set_status(self, repository: Repository, digest: Digest, status: Status, at: float) -> bool:
        """Make an image ACTIVE or ARCHIVED; tell whether it was there."""
        return await self._ledger.commit(lambda entry: set_status(entry, repository, digest, status, at))

    async def note_pulls(self, pulls: Pulls) -> None:
        """Write when images were pulled last, many at once."""
        await self._ledger.commit(lambda entry: mutations.note_pulls(entry, pulls))

    async def count_pulls(self, counts: Mapping[Repository, int], at: float) -> None:
        """Add to how often repositories were pulled, many at once."""
        await self._ledger.commit(lambda entry: mutations.count_pulls(entry, counts, at))

    async def usage(self, repository: Repository) -> Usage:
        """Say what a repository has and how much it is used."""
        async with self._database.read() as connection:
            return await read_usage(connection, repository)

    async def _read(self, repository: Repository, chosen: Select[Any]) -> list[Image]:
        async with self._database.read() as connection:
            return await read_images(connection, repository, chosen)


def images_of(repository: Repository) -> Select[Any]:
    """Choose all images of `repository`."""
    return select(tables.manifests).join(tables.repositories).where(*named(repository))


async def read_images(connection: AsyncConnection, repository: Repository, chosen: Select[Any]) -> list[Image]:
    """Read the images of `repository` that `images_of` has chosen, some thousand at most."""
    rows = (await connection.execute(chosen)).mappings().all()
    tags: dict[str, list[tuple[str, float]]] = {}
    for row in (await connection.execute(_tags(repository, [row["digest"] for row in rows]))).mappings():
        tags.setdefault(row["digest"], []).append((row["tag"], row["updated_at"]))
    return [_image(row, tags.get(row["digest"], [])) for row in rows]


def _tags(repository: Repository, digests: Sequence[str]) -> Select[Any]:
    table = tables.tags
    return (
        select(table)
        .join(tables.repositories)
        .where(*named(repository), table.c.digest.in_(listed(digests)))
        .order_by(table.c.tag)
    )


def _image(row: Mapping[Any, Any], tags: Sequence[tuple[str, float]]) -> Image:
    return Image(
        digest=parse_digest(row["digest"]),
        tags=tuple(tag for tag, _ in tags),
        tagged_at=tuple(at for _, at in tags),
        **{name: row[name] for name in _COLUMNS},
    )


_COLUMNS: Final = (
    *("media_type", "artifact_type", "size", "image_size", "subject", "annotations", "pushed_at", "status"),
    *("archived_at", "activated_at", "pulled_at"),
)
