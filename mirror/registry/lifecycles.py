"""Lifecycle policies of repositories, and what they would do to the images of a moment. Nothing is deleted here.

Source: ECR guide, "Creating a lifecycle policy preview"; ECR.md 2.3, "Operations". A policy is kept with its repository
as PutLifecyclePolicy echoes it. A preview is computed once, for the images of that moment, and lives in memory for a
day: a restart forgets it, as does time.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from mirror.registry.repositories import Repositories
from mirror.rules import lifecycle
from mirror.store.catalog import Catalog
from mirror.store.lifecycles import LIFECYCLE, Known, LifecycleRows

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


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a policy wants done to a repository, and what the repository had then."""

    evaluation: lifecycle.Evaluation
    known: Known


class Lifecycles:
    """The lifecycle policies of all repositories."""

    def __init__(self, repositories: Repositories, catalog: Catalog, rows: LifecycleRows, spawn: Spawn) -> None:
        self._repositories = repositories
        self._catalog = catalog
        self._rows = rows
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

    async def evaluated_at(self, repository: Repository) -> float | None:
        """Return when the policy that is set was run last, in unix seconds; None for never."""
        standing = await self._rows.standing(repository)
        return standing.evaluated_at if standing is not None else None

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
            judgement = await self.judge(repository, policy, preview.asked_at)
            preview.actions = lifecycle.previewed(judgement.evaluation)
            preview.status = "COMPLETE"
        except Exception:  # noqa: BLE001 - whatever it was, the one who asked is told that it failed
            telemetry.log.exception("lifecycle preview failed", repository=str(repository))
        finally:
            if preview.status == "IN_PROGRESS":
                preview.status = "FAILED"

    async def judge(self, repository: Repository, policy: lifecycle.LifecyclePolicy, now: float) -> Judgement:
        """Say what `policy` wants done to the images that are there, at `now` (unix seconds).

        What a repository caches is not archived, as by UpdateImageStorageClass: the next pull would bring it back.
        """
        images: list[lifecycle.Image] = []
        while page := await self._rows.images(repository, images[-1].digest if images else ""):
            images += page
        evaluation = await asyncio.to_thread(lifecycle.evaluate, policy, images, now)
        if not repository.owned:
            kept = tuple(action for action in evaluation.actions if action.type != "transition")
            evaluation = replace(evaluation, actions=kept)
        return Judgement(evaluation, {image.digest: image for image in images})
