"""What comes of a run: counted, and told to all who listen while it goes.

A listener who does not keep up misses events, never the outcome: nobody is waited for.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from mirror import telemetry

FAILURES_MAX: Final = 100  # told of one run; beyond that they are counted
REASON_CHARS_MAX: Final = 500
PLANNED_MAX: Final = 100_000  # images of one plan

# new, changed: the tag is not here, or meant something else; parts: not all of the image is here; gone: upstream has
# the tag no more, and the rule deletes it.
State = Literal["new", "changed", "parts", "same", "gone", "failed"]


class Failure(msgspec.Struct, frozen=True):
    """What failed, an image or a repository as the rule calls it, and why."""

    image: str
    reason: str


class Outcome(msgspec.Struct, frozen=True, rename="camel"):
    """What came of a run. Times in unix seconds, 0 for not yet; `moved` counts images that were not here as they are.

    `bytes` are those of blobs that were not here; `succeeded_at` is the end of the last run in which nothing failed.
    """

    rule: str
    began_at: float = 0.0
    ended_at: float = 0.0
    succeeded_at: float = 0.0
    images: int = 0
    moved: int = 0
    bytes: int = 0
    deleted: int = 0
    failed: int = 0
    failures: tuple[Failure, ...] = ()


class Event(msgspec.Struct, frozen=True, tag_field="event"):
    """Something to tell while a run goes."""


class Looked(Event, frozen=True, tag="image"):
    """An image was dealt with; the first `done` of `total` that are known so far. `bytes` were, or would be, moved."""

    rule: str
    image: str
    state: State
    bytes: int
    done: int
    total: int
    reason: str = ""


class Moving(Event, frozen=True, tag="moving"):
    """How many bytes have come so far, of how many that are known to be wanted."""

    rule: str
    bytes: int
    total: int


class Ended(Event, frozen=True, tag="ended"):
    """A run is over: its outcome is what it is."""


Listener = asyncio.Queue[Event]


class Tally:
    """The counts of one run. `planned`: what it would do is kept, image by image, for nobody has done it."""

    def __init__(self, rule: str, *, measured: bool = False, planned: bool = False) -> None:
        self._rule = rule
        self._measured = measured
        self._outcome = Outcome(rule, time.time())
        self._failures: list[Failure] = []
        self._listeners: set[Listener] = set()
        self._wanted_bytes = 0
        self._total = 0
        self.is_over = False
        self.under_way: Callable[[], int] = int  # bytes of blobs that are on their way
        self.plan: list[Looked] | None = [] if planned else None

    @property
    def outcome(self) -> Outcome:
        return replace(self._outcome, failures=tuple(self._failures))

    @property
    def bytes(self) -> int:
        return self._outcome.bytes

    def found(self, count: int) -> None:
        """Count images that are to be looked at."""
        self._total += count

    def wanted(self, count: int) -> None:
        """Count bytes that are not here."""
        self._wanted_bytes += count

    def moved(self, count: int) -> None:
        """Count bytes that have come, or would."""
        self._add(bytes=count)
        if self._measured:
            telemetry.SYNC_BYTES.labels(self._rule).inc(count)

    def looked(self, image: str, state: State, count: int, reason: str = "") -> None:
        """Count an image: what was to do, and how many bytes that moved."""
        self._add(images=1, moved=state in ("new", "changed", "parts"), deleted=state == "gone")
        if self._measured:
            telemetry.SYNC_IMAGES.labels(self._rule, state).inc()
        event = Looked(self._rule, image, state, count, self._outcome.images, self._total, reason)
        if self.plan is not None and len(self.plan) < PLANNED_MAX:
            self.plan.append(event)
        self._tell(event)

    def failed(self, what: str, reason: str, *, is_image: bool = False) -> None:
        """Count a failure: of an image, or of what images were to be found by."""
        self._add(failed=1)
        if self._measured:
            telemetry.SYNC_FAILURES.labels(self._rule).inc()
        if len(self._failures) < FAILURES_MAX:
            self._failures.append(Failure(what, reason[:REASON_CHARS_MAX]))
        if is_image:
            self.looked(what, "failed", 0, reason[:REASON_CHARS_MAX])

    def finish(self, succeeded_at: float) -> None:
        """Say that all is done. `succeeded_at`: when the run before it in which nothing failed had ended."""
        now = time.time()
        self._outcome = replace(self._outcome, ended_at=now, succeeded_at=succeeded_at if self._outcome.failed else now)

    def end(self) -> None:
        """End the run, whether or not all is done."""
        self.is_over = True
        self._tell(Ended())

    # Listeners.

    def listen(self, listener: Listener) -> None:
        self._listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def moving(self) -> Moving:
        """Say how far the bytes are."""
        return Moving(self._rule, self._outcome.bytes + self.under_way(), self._wanted_bytes)

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            with suppress(asyncio.QueueFull):
                listener.put_nowait(event)

    def _add(self, **counts: int) -> None:
        now = {key: getattr(self._outcome, key) + count for key, count in counts.items()}
        self._outcome = replace(self._outcome, **now)
