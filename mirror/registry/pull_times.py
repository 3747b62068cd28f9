"""Pull times: when each image was pulled last, gathered in memory and written now and then.

Source: ECR guide, "lastRecordedPullTime", refreshed at least once every 24 hours; ECR.md 1.3 and 2.9. A pull costs one
entry of a table, whichever lane it takes; a crash loses a minute's times, never an image's.
"""

import asyncio
import time
from collections.abc import Callable, Collection
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
AGAIN_S: Final = 6 * 3_600.0  # an image that is pulled all day costs four writes, and is never a day behind
WRITES_MAX: Final = 500  # of one transaction: pushes wait for it
KNOWN_MAX: Final = 100_000  # images whose last writing is remembered; then forgotten, and written once more


class Images(Protocol):
    """Who keeps the times."""

    async def note_pulls(self, pulls: Pulls) -> None: ...


class PullTimes:
    """The pulls since the last writing. `fresh` has the repository of each, by its key and the image's."""

    def __init__(self, images: Images, exclusions: Exclusions, clock: Callable[[], float] = time.time) -> None:
        self.fresh: dict[bytes, Repository] = {}
        self._images = images
        self._exclusions = exclusions
        self._clock = clock
        self._written: dict[bytes, float] = {}
        self._seen: dict[bytes, float] = {}

    def counts(self, repository: Repository, principal: Principal) -> bool:
        """Tell whether a pull by `principal` counts: not that of an excluded one."""
        return not self._exclusions.covers(repository.registry, principal)

    def note(self, repository: Repository, digest: Digest, principal: Principal) -> None:
        """Take note of a pull."""
        if self.counts(repository, principal):
            self.fresh[repository.key() + digest.key()] = repository

    def last(self, repository: Repository, digest: Digest) -> float:
        """Return when (unix seconds) an image was pulled last, of what is not in the rows yet; else 0."""
        key = repository.key() + digest.key()
        return self._clock() if key in self.fresh else self._seen.get(key, 0.0)

    async def run(self) -> None:
        """Write for ever, and once more at the end."""
        try:
            while True:
                await asyncio.sleep(WRITE_EVERY_S)
                await self._write_or_say()
        finally:
            await self._write_or_say()

    async def write(self) -> None:
        """Write what is new. Raises RegistryError, and then nothing is lost."""
        now = self._clock()
        due = [key for key in self.fresh if not 0 <= now - self._written.get(key, 0.0) < AGAIN_S]
        found, self.fresh = self.fresh, {}
        _remember(self._seen, found, now)
        keys = iter(due)
        try:
            while page := list(islice(keys, WRITES_MAX)):
                await self._images.note_pulls({_image(found[key], key): now for key in page})
                _remember(self._written, page, now)
        except RegistryError:
            self.fresh = {**found, **self.fresh}
            raise

    async def _write_or_say(self) -> None:
        try:
            await self.write()
        except RegistryError as error:
            telemetry.log.warning("times of pulls not written", reason=error.message)


def _remember(times: dict[bytes, float], keys: Collection[bytes], now: float) -> None:
    if len(times) + len(keys) > KNOWN_MAX:
        times.clear()
    times.update(dict.fromkeys(keys, now))


def _image(repository: Repository, key: bytes) -> tuple[Repository, Digest]:
    return repository, digest_from_key(key[len(repository.key()) :])
