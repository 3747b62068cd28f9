"""Lifecycle policies of repositories, and previews of what they would do. Nothing is deleted here.

Source: ECR guide, "Creating a lifecycle policy preview"; ECR.md 2.3, "Operations". A policy is kept with its repository
as PutLifecyclePolicy echoes it. A preview is computed once, for the images of that moment, and lives in memory for a
day: a restart forgets it, as does time.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mirror import telemetry
from mirror.aws.errors import (
    LifecyclePolicyNotFound,
    LifecyclePolicyPreviewInProgress,
    LifecyclePolicyPreviewNotFound,
    RepositoryNotFound,
    Throttled,
)
from mirror.oci.names import Repository
from mirror.registry.flights import Spawn
from mirror.registry.repositories import LIFECYCLE, Repositories
from mirror.rules import lifecycle
from mirror.store.catalog import Catalog
from mirror.store.images import PAGE_MAX, Images
from mirror.store.images import Image as ImageRow

PREVIEW_S: Final = 86_400.0  # a preview of yesterday says nothing of today's images
PREVIEWS_MAX: Final = 100  # kept at once: each has up to as many entries as its repository has images

RUNNING_MAX: Final = 10  # at once: each reads all images of its repository
assert RUNNING_MAX < PREVIEWS_MAX

PreviewStatus = Literal["IN_PROGRESS", "COMPLETE", "EXPIRED", "FAILED"]


@dataclass(slots=True)
class Preview:
    """What a policy text would do. `born` is when its repository was made: one made anew has no preview."""

    text: str
    born: float
    asked_at: float
    status: PreviewStatus = "IN_PROGRESS"
    actions: Sequence[lifecycle.Action] = ()


class Lifecycles:
    """The lifecycle policies of all repositories."""

    def __init__(self, repositories: Repositories, catalog: Catalog, images: Images, spawn: Spawn) -> None:
        self._repositories = repositories
        self._catalog = catalog
        self._images = images
        self._spawn = spawn
        self._previews: OrderedDict[Repository, Preview] = OrderedDict()

    # Policies.

    async def put(self, repository: Repository, text: str) -> str:
        """Set the policy; return it as it is kept. Raises InvalidParameter with ECR's text, RepositoryNotFound."""
        lifecycle.parse_lifecycle(text)
        kept = lifecycle.compact(text)
        if not await self._catalog.put_document(repository, LIFECYCLE, kept, time.time()):
            raise RepositoryNotFound(self._repositories.name(repository), repository.registry)
        return kept

    async def get(self, repository: Repository) -> str:
        """Return the policy. Raises LifecyclePolicyNotFound."""
        text = await self._catalog.document(repository, LIFECYCLE)
        if text is None:
            raise LifecyclePolicyNotFound(self._repositories.name(repository), repository.registry)
        return text

    async def delete(self, repository: Repository) -> str:
        """Delete the policy; return what it was. Raises LifecyclePolicyNotFound."""
        text = await self.get(repository)
        if not await self._catalog.put_document(repository, LIFECYCLE, None, time.time()):
            raise LifecyclePolicyNotFound(self._repositories.name(repository), repository.registry)
        return text

    # Previews.

    async def start_preview(self, repository: Repository, text: str | None) -> Preview:
        """Begin a preview of `text`, or of the policy that is set. Raises LifecyclePolicyPreviewInProgress too."""
        text = text if text is not None else await self.get(repository)
        policy = lifecycle.parse_lifecycle(text)
        self._check_idle(repository)
        preview = Preview(text, self._repositories.settings(repository).created_at, time.time())
        self._remember(repository, preview)
        self._spawn(self._compute(repository, policy, preview), f"lifecycle preview {repository}")
        return preview

    def preview(self, repository: Repository) -> Preview:
        """Return the last preview. Raises LifecyclePolicyPreviewNotFound."""
        preview = self._previews.get(repository)
        if preview is None or preview.born != self._repositories.settings(repository).created_at:
            raise LifecyclePolicyPreviewNotFound(
                f"Lifecycle policy preview does not exist for the repository with name "
                f"'{self._repositories.name(repository)}' in the registry with id '{repository.registry.account}'"
            )
        if preview.status == "COMPLETE" and time.time() - preview.asked_at > PREVIEW_S:
            preview.status, preview.actions = "EXPIRED", ()
        return preview

    def _check_idle(self, repository: Repository) -> None:
        running = [key for key, one in self._previews.items() if one.status == "IN_PROGRESS"]
        if repository in running:
            raise LifecyclePolicyPreviewInProgress(
                "The previous lifecycle policy preview request has not completed. Wait and try again."
            )
        if len(running) >= RUNNING_MAX:
            raise Throttled("Rate exceeded")

    def _remember(self, repository: Repository, preview: Preview) -> None:
        self._previews[repository] = preview
        self._previews.move_to_end(repository)
        if len(self._previews) > PREVIEWS_MAX:
            del self._previews[next(key for key, one in self._previews.items() if one.status != "IN_PROGRESS")]

    async def _compute(self, repository: Repository, policy: lifecycle.LifecyclePolicy, preview: Preview) -> None:
        try:
            images = await self.images(repository)
            evaluation = await asyncio.to_thread(lifecycle.evaluate, policy, images, preview.asked_at)
            preview.actions = lifecycle.previewed(evaluation)
            preview.status = "COMPLETE"
        except Exception:  # noqa: BLE001 - whatever it was, the one who asked is told that it failed
            telemetry.log.exception("lifecycle preview failed", repository=str(repository))
        finally:
            if preview.status == "IN_PROGRESS":
                preview.status = "FAILED"

    async def images(self, repository: Repository) -> list[lifecycle.Image]:
        """Return all images of a repository as the rules see them."""
        lists = await self._images.children(repository)
        found: list[lifecycle.Image] = []
        after = ""
        while page := await self._images.page(repository, after=after, limit=PAGE_MAX):
            found += [_judged(image, lists.get(str(image.digest), ())) for image in page]
            after = str(page[-1].digest)
        return found


def _judged(image: ImageRow, lists: Sequence[str]) -> lifecycle.Image:
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
