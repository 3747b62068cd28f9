"""Faults of a configuration: all of them in one pass, each with its place. Never: a value that may be a secret."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong. `line` is 0 where no line can be named; `key` is a path such as `upstream[1].url`."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.key, self.message) if part)


class ConfigInvalid(Exception):
    """The configuration cannot be used. `faults` is never empty."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


@dataclass(slots=True)
class Faults:
    """The faults found so far in `file`, whose keys stand on `lines`."""

    file: str
    lines: Mapping[str, int] = field(default_factory=dict)
    found: list[Fault] = field(default_factory=list)

    def add(self, key: str, message: str) -> None:
        """Note that `key` is wrong."""
        self.found.append(Fault(self.file, self._line(key), key, message))

    def raise_any(self) -> None:
        """Raise ConfigInvalid with every fault, in the order of the file."""
        if self.found:
            raise ConfigInvalid(sorted(self.found))

    def _line(self, key: str) -> int:
        """Return the line of `key`, else of the table around it."""
        while key and key not in self.lines and f"{key}[0]" not in self.lines:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return self.lines.get(key, 0) or self.lines.get(f"{key}[0]", 0)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean `x`?" for the nearest known word, or the list of them all."""
    known = sorted(known)
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"
