"""Mutations that wait for the ledger, and the answers that their callers wait for."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Waiting:
    """A mutation: whether it `frees` room on the disk, and what came out of it."""

    mutation: Callable[[Any], Awaitable[Any]]
    answer: asyncio.Future[Any]
    frees: bool
    outcome: Any = None


def answer_all(batch: Iterable[Waiting], error: Exception | None) -> None:
    """Tell the callers that are still there: `error`, or each its outcome."""
    for waiting in batch:
        if waiting.answer.done():
            continue
        if error is not None:
            waiting.answer.set_exception(error)
        else:
            waiting.answer.set_result(waiting.outcome)
