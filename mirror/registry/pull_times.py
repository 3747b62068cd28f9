"""Pull times: when each image was pulled last and how often its repository, gathered in memory, written now and then.

Source: ECR guide, "lastRecordedPullTime", refreshed at least once every 24 hours; ECR.md 1.3 and 2.9. A pull costs one
entry of a table, whichever lane it takes; a crash loses a minute's times, and ten minutes' counts.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from mirror import telemetry
from mirror.aws.principals import Principal
from mirror.oci.digest import Digest, digest_from_key
from mirror.oci.errors import RegistryError
from mirror.oci.names import Repository
from mirror.registry.exclusions import Exclusions
from mirror.store.images import Pulls

WRITE_EVERY_S: Final = 60.0
COUNT_EVERY_S: Final = 600.0  # a repository that is pulled all day costs a write in ten minutes
AGAIN_S: Final = 6 * 3_600.0  # an image that is pulled all day costs four writes, and is never a day behind
WRITES_MAX: Final = 500  # of one transaction: pushes wait for it
KNOWN_MAX: Final = 100_000  # images whose last writing is remembered; then forgotten, and written once more


class Images(Protocol):
    """Who keeps the times."""

    async def note_pulls(self, pulls: Pulls) -> None: ...

    async def count_pulls(self, counts: Mapping[Repository, int], at: float) -> None: ...


@dataclass(slots=True)
class Pulled:
    """A repository, and how many pulls of it are not written yet."""

    repository: Repository
    count: int = 0


class PullTimes:
    """The pulls since the last writing. `fresh` has the repository of each image, by its key and the image's.

    A pull is two acts, for the express lane does them by itself: put the repository into `fresh`, count it there.
    """

    def __init__(self, images: Images, exclusions: Exclusions, clock: Callable[[], float] = time.time) -> None:
        self.fresh: dict[bytes, Pulled] = {}
        self._images = images
        self._exclusions = exclusions
        self._clock = clock
        self._written: dict[bytes, float] = {}
        self._seen: dict[bytes, float] = {}
        self._repositories: dict[Repository, Pulled] = {}
        self._counted_at = clock()

    def counts(self, repository: Repository, principal: Principal) -> bool:
        """Tell whether a pull by `principal` counts: not that of an excluded one."""
        return not self._exclusions.covers(repository.registry, principal)

    def note(self, repository: Repository, digest: Digest, principal: Principal) -> None:
        """Take note of a pull."""
        if self.counts(repository, principal):
            pulled = self.pulled(repository)
            self.fresh[repository.key() + digest.key()] = pulled
            pulled.count += 1

    def pulled(self, repository: Repository) -> Pulled:
        """Return where the pulls of `repository` are counted: one for as long as the node runs."""
        return self._repositories.setdefault(repository, Pulled(repository))

    def last(self, repository: Repository, digest: Digest) -> float:
        """Return when (unix seconds) an image was pulled last, of what is not in the rows yet; else 0."""
        key = repository.key() + digest.key()
        return self._clock() if key in self.fresh else self._seen.get(key, 0.0)

    async def run(self) -> None:
        """Write for ever, and once more at the end."""
        try:
            while True:
                await asyncio.sleep(WRITE_EVERY_S)
                is_due = self._clock() - self._counted_at >= COUNT_EVERY_S
                await self._write_or_say(counts=is_due)
        finally:
            await self._write_or_say(counts=True)

    async def write(self) -> None:
        """Write what is new. Raises RegistryError, and then nothing is lost."""
        now = self._clock()
        due = [key for key in self.fresh if not 0 <= now - self._written.get(key, 0.0) < AGAIN_S]
        found, self.fresh = self.fresh, {}
        _remember(self._seen, found, now)
        keys = iter(due)
        try:
            while page := list(islice(keys, WRITES_MAX)):
                await self._images.note_pulls({_image(found[key].repository, key): now for key in page})
                _remember(self._written, page, now)
        except RegistryError:
            self.fresh = {**found, **self.fresh}
            raise

    async def write_counts(self) -> None:
        """Write how often repositories were pulled. Raises RegistryError, and then nothing is lost."""
        counted = iter([one for one in self._repositories.values() if one.count])
        while page := list(islice(counted, WRITES_MAX)):
            counts = {one.repository: one.count for one in page}
            for one in page:
                one.count = 0
            try:
                await self._images.count_pulls(counts, self._clock())
            except RegistryError:
                for one in page:
                    one.count += counts[one.repository]
                raise
        self._counted_at = self._clock()

    async def _write_or_say(self, *, counts: bool) -> None:
        try:
            await self.write()
            if counts:
                await self.write_counts()
        except RegistryError as error:
            telemetry.log.warning("times of pulls not written", reason=error.message)


def _remember(times: dict[bytes, float], keys: Collection[bytes], now: float) -> None:
    if len(times) + len(keys) > KNOWN_MAX:
        times.clear()
    times.update(dict.fromkeys(keys, now))


def _image(repository: Repository, key: bytes) -> tuple[Repository, Digest]:
    return repository, digest_from_key(key[len(repository.key()) :])
