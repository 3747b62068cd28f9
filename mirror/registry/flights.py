"""One answer for many askers: the same question is asked of an upstream once, however many wait for it.

The work belongs to the node, not to the first asker: an asker who leaves stops nothing and blocks nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Spawn(Protocol):
    """Start work that the node owns. The work must not raise: what goes wrong is told through what it fulfils."""

    def __call__(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]: ...


class Flights:
    """The questions under way, by key."""

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._under_way: dict[Hashable, asyncio.Future[Any]] = {}

    async def join(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """Return what `ask()` returns or raise what it raises, asking once for all who come meanwhile."""
        return await asyncio.shield(self.launch(key, ask))

    def launch(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> asyncio.Future[T]:
        """Ask, unless that is under way, and wait for nothing. An error that nobody waits for is nobody's."""
        answer: asyncio.Future[T] | None = self._under_way.get(key)
        if answer is None:
            answer = asyncio.get_running_loop().create_future()
            answer.add_done_callback(_seen)
            self._under_way[key] = answer
            self._spawn(self._fly(key, ask, answer), f"flight {key}")
        return answer

    async def settled(self, key: Hashable) -> None:
        """Wait until nothing is under way by `key`. Raises what the asking raised."""
        answer = self._under_way.get(key)
        if answer is not None:
            await asyncio.shield(answer)

    async def _fly(self, key: Hashable, ask: Callable[[], Awaitable[T]], answer: asyncio.Future[T]) -> None:
        try:
            answer.set_result(await ask())
        except asyncio.CancelledError:
            answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - every error belongs to those who asked
            answer.set_exception(error)
        finally:
            del self._under_way[key]


def _seen(answer: asyncio.Future[Any]) -> None:
    """Mark an error as seen: all askers may have left before it came."""
    if not answer.cancelled():
        answer.exception()
