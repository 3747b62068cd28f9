"""One round of a rule: repository by repository, image by image, until all is done or there is no use in going on.

What fails is told and stops nothing else; an upstream that does not answer, or has few calls left for us, is left alone
until the next round.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Container, Sequence

from mirror.oci.errors import RegistryError, StorageFull, UpstreamUnavailable
from mirror.oci.names import Reference
from mirror.registry.discovery import TAGS_MAX
from mirror.registry.syncing.hands import Hand
from mirror.registry.syncing.heads import Head, Heads
from mirror.registry.syncing.tally import Tally
from mirror.registry.syncing.targets import Target, Targets
from mirror.registry.syncing.walk import Shelf, Walk
from mirror.rules.patterns import Patterns
from mirror.rules.syncing import SyncRule, chosen_tags

Gate = Callable[[], Awaitable[None]]  # waited for before each image


class Round:
    """One round."""

    def __init__(self, rule: SyncRule, targets: Targets, shelf: Shelf, hand: Hand, tally: Tally) -> None:
        self._rule = rule
        self._targets = targets
        self._shelf = shelf
        self._hand = hand
        self._tally = tally
        self._patterns = Patterns(rule.tags)
        self._walk = Walk(rule, shelf, hand, tally)
        self._silent: set[str] = set()  # upstreams that are left alone

    async def run(self, gate: Gate) -> None:
        """Go round. Everything that goes wrong is told to the tally."""
        try:
            async for target in self._targets.find(self._rule, self._tally):
                if target.source.repository.upstream not in self._silent:
                    await self._repository(target, gate)
        except StorageFull as error:
            self._tally.failed("storage", error.message)

    async def _repository(self, target: Target, gate: Gate) -> None:
        await gate()
        try:
            listed = await self._listed(target)
            references, gone = await self._chosen(target, listed)
        except RegistryError as error:
            self._fail(target, error, target.name)
            return
        self._tally.found(len(references) + len(gone))
        there, heads = frozenset(listed or ()), Heads(self._shelf.manifests, target.source.repository, references)
        for tag in gone:
            await self._delete(target, tag)
        for reference in references:
            if target.source.repository.upstream in self._silent:
                return
            await gate()
            await self._image(target, reference, there, heads.take(reference))

    async def _listed(self, target: Target) -> Sequence[str] | None:
        """Return the tags that upstream lists; None where no list is needed, or none to be had for want of need."""
        repository = target.source.repository
        if target.reference is None and (self._rule.delete or not self._patterns.literals):
            return await self._shelf.discovery.tags_now(repository)
        if not self._rule.referrers:
            return None
        try:
            # Only for the tags that cosign makes: one that was got lately will do.
            return list((await self._shelf.discovery.tags(repository)).items)
        except UpstreamUnavailable:
            raise
        except RegistryError:
            return None

    async def _chosen(self, target: Target, listed: Sequence[str] | None) -> tuple[Sequence[Reference], Sequence[str]]:
        """Return the images to look at, and the tags that are here and upstream no more."""
        if target.reference is not None:
            return [target.reference], []
        here = []
        # An empty list is no proof that all of it is gone: some registries give one to whom they do not know.
        if self._rule.delete and listed:
            here = self._shelf.index.tags(target.source.repository, "", TAGS_MAX)
        # A hundred thousand versions take seconds to put in order.
        return await asyncio.to_thread(self._choose, listed or (), here)

    def _choose(self, listed: Sequence[str], here: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
        there = frozenset(listed)
        gone = [tag for tag in here if tag not in there and self._patterns.match(tag)]
        if self._patterns.literals:
            return [tag for tag in self._patterns.literals if tag not in gone], gone
        return chosen_tags(self._rule, listed), gone

    async def _delete(self, target: Target, tag: str) -> None:
        await self._hand.untag(target.source, tag)
        self._tally.looked(f"{target.name}:{tag}", "gone", 0)

    async def _image(self, target: Target, reference: Reference, tags: Container[str], head: Head | None) -> None:
        image = f"{target.name}{':' if isinstance(reference, str) else '@'}{reference}"
        before = self._tally.bytes
        try:
            state = await self._walk.image(target.source, reference, tags, head)
        except StorageFull:
            raise
        except RegistryError as error:
            self._fail(target, error, image, is_image=True)
        else:
            self._tally.looked(image, state, self._tally.bytes - before)

    def _fail(self, target: Target, error: RegistryError, what: str, *, is_image: bool = False) -> None:
        """Tell of a failure, and whether the upstream is left alone from now on."""
        self._tally.failed(what, error.message, is_image=is_image)
        upstream = target.source.upstream
        if isinstance(error, UpstreamUnavailable) or not upstream.reachable(time.monotonic()):
            self._silent.add(target.source.repository.upstream)
            self._tally.failed(upstream.rule.name, "is left alone: what is not done yet is for the next run")
