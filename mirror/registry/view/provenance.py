"""Why an image is here: where it came from, how fresh it is, who uses it, what keeps it.

Everything is read from the stores; no upstream is asked. Times in unix seconds, sizes in bytes.
"""

import time
from collections.abc import Callable
from math import inf
from typing import Literal

import msgspec

from mirror.aws.errors import ImageNotFound
from mirror.oci.digest import Digest
from mirror.oci.names import Reference, Registry, Repository
from mirror.registry.pull_times import PullTimes
from mirror.registry.repositories import Repositories
from mirror.registry.view.named import named_repository
from mirror.registry.view.servable import Part, Servable
from mirror.rules.freshness import State, fresh_s, served_until, tag_state
from mirror.rules.lifecycle.schedule import due_at
from mirror.rules.routing import Routing, UpstreamRule
from mirror.store.images import Image
from mirror.store.store import Store

Way = Literal["fetched", "pushed", "replicated"]


class Freshness(msgspec.Struct, frozen=True, rename="camel"):
    """How fresh a cached tag is. `due_at`: when it is asked about again; `served_until`: how long without an answer.

    Both are None for never.
    """

    state: State
    checked_at: float
    due_at: float | None
    served_until: float | None


class Why(msgspec.Struct, frozen=True, rename="camel"):
    """All that is known of an image. `origin` is an upstream's URL or the registry that it was replicated from."""

    image: str
    digest: str
    media_type: str
    artifact_type: str
    status: str
    way: Way
    upstream: str
    origin: str
    came_at: float
    freshness: Freshness | None
    pulled_at: float | None
    kept_by: list[str]
    policy_due_at: float | None
    referrers: int
    parts: list[Part]


class Provenance:
    """Says why images are here. `is_kept` tells of a cached repository's name whether it is never evicted."""

    def __init__(
        self,
        store: Store,
        pull_times: PullTimes,
        repositories: Repositories,
        routing: Routing,
        servable: Servable,
        is_kept: Callable[[str], bool],
    ) -> None:
        self._index = store.index
        self._catalog = store.catalog
        self._images = store.images
        self._lifecycles = store.lifecycles
        self._pull_times = pull_times
        self._repositories = repositories
        self._routing = routing
        self._servable = servable
        self._is_kept = is_kept

    async def explain(self, registry: Registry, name: str, reference: Reference) -> Why:
        """Say why an image of `registry` is here. Raises NameInvalid, RepositoryNotFound, ImageNotFound."""
        repository = named_repository(self._repositories, registry, name)
        tag = "" if isinstance(reference, Digest) else reference
        digest = self._digest(repository, reference)
        # A pull of a moment ago is known in memory alone.
        await self._pull_times.write()
        image = (await self._images.find(repository, [digest])).get(digest) if digest else None
        if digest is None or image is None:
            said = str(reference) if isinstance(reference, Digest) else ""
            raise ImageNotFound(said, tag, self._repositories.name(repository), registry)
        rule = self._routing.rule(repository)
        origin = await self._catalog.origin(repository, digest) if repository.owned else ""
        return Why(
            image=f"{self._repositories.name(repository)}{f':{tag}' if tag else f'@{digest}'}",
            digest=str(digest),
            media_type=image.media_type,
            artifact_type=image.artifact_type,
            status=image.status,
            way="replicated" if origin else "pushed" if repository.owned else "fetched",
            upstream=repository.upstream,
            origin=f"{rule.url}/v2/{rule.upstream_name(repository.name)}" if rule is not None else origin,
            came_at=image.pushed_at,
            freshness=self._freshness(repository, rule, tag) if tag and rule is not None else None,
            pulled_at=image.pulled_at,
            kept_by=await self._keepers(repository, image),
            policy_due_at=await self._policy_due_at(repository),
            referrers=len(await self._catalog.referrers(repository, digest)),
            parts=await self._servable.parts(repository, digest),
        )

    def _digest(self, repository: Repository, reference: Reference) -> Digest | None:
        if isinstance(reference, Digest):
            return reference
        entry = self._index.tag(repository, reference)
        return entry.digest if entry is not None else None

    def _freshness(self, repository: Repository, rule: UpstreamRule, tag: str) -> Freshness | None:
        entry = self._index.tag(repository, tag)
        if entry is None:
            return None
        if self._repositories.freezes(repository, tag) or fresh_s(rule, tag) == inf:
            return Freshness("fresh", entry.checked_at, None, None)
        return Freshness(
            tag_state(rule, tag, entry.checked_at, time.time()),
            entry.checked_at,
            entry.checked_at + fresh_s(rule, tag),
            served_until(rule, tag, entry.checked_at),
        )

    async def _keepers(self, repository: Repository, image: Image) -> list[str]:
        """Say what an image would be missed by: tags, lists, the image that it is about, and who pinned it."""
        keepers = [f"tag {tag}" for tag in image.tags]
        keepers += [f"index {one}" for one in await self._images.lists_of(repository, image.digest)]
        keepers += [f"subject {image.subject}"] if image.subject else []
        is_pinned = not repository.owned and self._is_kept(self._repositories.name(repository))
        return keepers + (["[storage] keep"] if is_pinned else [])

    async def _policy_due_at(self, repository: Repository) -> float | None:
        """Say when the lifecycle policy is run next, which may delete the image; None where there is none."""
        standing = await self._lifecycles.standing(repository)
        return due_at(repository, standing.put_at, standing.evaluated_at) if standing is not None else None
