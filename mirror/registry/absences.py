"""What an upstream lately said it does not have, so that a client in a loop costs it nothing."""

import time
from collections.abc import Hashable
from typing import Final

from mirror.oci.errors import RegistryError

ABSENT_S: Final = 10.0  # long enough to stop a hammering client, short enough for "I have just pushed it"
ABSENCES_MAX: Final = 10_000


class Absences:
    """A bounded memory of "not found", oldest dropped first."""

    def __init__(self) -> None:
        self._noted: dict[Hashable, tuple[float, RegistryError]] = {}

    def check(self, key: Hashable) -> None:
        """Raise what was noted for `key` within ABSENT_S."""
        noted = self._noted.get(key)
        if noted is None:
            return
        at, error = noted
        if time.monotonic() - at < ABSENT_S:
            raise type(error)(error.message, detail=error.detail)
        del self._noted[key]

    def note(self, key: Hashable, error: RegistryError) -> None:
        self._noted.pop(key, None)
        self._noted[key] = (time.monotonic(), error)
        if len(self._noted) > ABSENCES_MAX:
            del self._noted[next(iter(self._noted))]
