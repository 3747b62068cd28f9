"""Wildcards: `*` is any characters or none, `?` is exactly one. A pattern covers its whole text.

Source: IAM guide, "Resource", "Using wildcards in resource ARNs". Never `re` on what a user wrote: both ways here are
linear in the text (RELIABILITY G20), by searching the pieces between stars one after the other (leftmost is best: what
is left for the next piece is longest), or, with a `?`, by following all states at once as the bits of a number. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

Parts = Iterable[tuple[str, bool]]  # text, and whether `*` and `?` in it are wildcards


class Pattern(Protocol):
    """What a text is compared with."""

    def matches(self, text: str) -> bool: ...


class _Wild(Enum):
    STAR = "*"
    ANY = "?"


@dataclass(frozen=True, slots=True)
class Exact:
    """No wildcard."""

    text: str

    def matches(self, text: str) -> bool:
        return text == self.text


@dataclass(frozen=True, slots=True)
class Pieces:
    """Stars only: `first*middle*middle*last`."""

    first: str
    middle: tuple[str, ...]
    last: str
    chars_min: int

    def matches(self, text: str) -> bool:
        if len(text) < self.chars_min or not text.startswith(self.first) or not text.endswith(self.last):
            return False
        at, end = len(self.first), len(text) - len(self.last)
        for piece in self.middle:
            found = text.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True


@dataclass(frozen=True, slots=True)
class States:
    """With `?`. Bit i of a state says: the first i elements are matched. `loops` are those before a star."""

    steps: Mapping[str, int]
    any_step: int
    loops: int
    chars_min: int

    def matches(self, text: str) -> bool:
        if len(text) < self.chars_min or (not self.loops and len(text) > self.chars_min):
            return False
        state, steps, any_step, loops = 1, self.steps, self.any_step, self.loops
        for char in text:
            state = (state & steps.get(char, any_step)) << 1 | (state & loops)
            if not state:
                return False
        return bool(state >> self.chars_min)


@dataclass(frozen=True, slots=True)
class Folded:
    """A pattern of lower-case letters for texts in any case."""

    pattern: Pattern

    def matches(self, text: str) -> bool:
        return self.pattern.matches(text.lower())


def compile_pattern(text: str, *, fold: bool = False) -> Pattern:
    """Read a pattern; with `fold`, upper and lower case are one. Every text is a pattern."""
    return Folded(compile_pattern(text.lower())) if fold else compile_parts(((text, True),))


def compile_parts(parts: Parts) -> Pattern:
    """Read a pattern whose parts may be literal: what a variable stands for is never a wildcard."""
    elements: list[str | _Wild] = []
    for text, live in parts:
        elements += [_Wild(char) if live and char in "*?" else char for char in text]
    if _Wild.ANY in elements:
        return _states(elements)
    if _Wild.STAR in elements:
        return _pieces(elements)
    return Exact("".join(element for element in elements if isinstance(element, str)))


def _pieces(elements: Iterable[str | _Wild]) -> Pieces:
    pieces: list[list[str]] = [[]]
    for element in elements:
        if isinstance(element, str):
            pieces[-1].append(element)
        else:
            pieces.append([])
    first, *middle, last = ["".join(piece) for piece in pieces]
    return Pieces(first, tuple(piece for piece in middle if piece), last, sum(map(len, pieces)))


def _states(elements: Iterable[str | _Wild]) -> States:
    steps: dict[str, int] = {}
    any_step = loops = at = 0
    for element in elements:
        if element is _Wild.STAR:
            loops |= 1 << at
            continue
        if isinstance(element, str):
            steps[element] = steps.get(element, 0) | 1 << at
        else:
            any_step |= 1 << at
        at += 1
    return States({char: step | any_step for char, step in steps.items()}, any_step, loops, at)
