"""Patterns of names and tags: globs, regular expressions, ranges of versions, and what is taken out again.

Source: issue section "Any registry"; node-semver for ranges. `v1.*` is a glob, in which `*` is any run of characters;
`re:...` a regular expression of RE2, which takes linear time, over the whole text; `semver:...` a range of versions, as
npm writes it; with `!` before it, a pattern takes out what it matches. Pure.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import re2
import semantic_version

from mirror.rules.globs import matches

PATTERN_CHARS_MAX: Final = 512
_MEMORY_BYTES_MAX: Final = 1024 * 1024  # of one compiled expression: what needs more is no pattern of names
_VERSION: Final = re.compile(r"v?([0-9]{1,9}(?:\.[0-9]{1,9}){0,2}(?:-[0-9A-Za-z.-]+)?)")
_DIGITS: Final = re.compile(r"([0-9]+)")

Match = Callable[[str], bool]


class Patterns:
    """A list of patterns: what any of them matches and none with `!` does; with none but such, everything else."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Compile patterns. Raises ValueError with what is wrong with one."""
        self._wanted = [compiled(one) for one in texts if not one.startswith("!")]
        self._unwanted = [compiled(one[1:]) for one in texts if one.startswith("!")]
        self.literals = tuple(texts) if all(map(is_literal, texts)) else ()  # what can be asked for by its name

    def match(self, text: str) -> bool:
        """Tell whether `text` is chosen."""
        if any(match(text) for match in self._unwanted):
            return False
        return not self._wanted or any(match(text) for match in self._wanted)


def is_literal(pattern: str) -> bool:
    """Tell whether a pattern is just one text."""
    return "*" not in pattern and not pattern.startswith(("!", "re:", "semver:"))


def compiled(pattern: str) -> Match:
    """Compile one pattern, without `!`. Raises ValueError."""
    if not 0 < len(pattern) <= PATTERN_CHARS_MAX:
        raise ValueError(f"a pattern of 1 to {PATTERN_CHARS_MAX} characters is wanted")
    kind, colon, rest = pattern.partition(":")
    if colon and kind == "re":
        return _expression(rest)
    if colon and kind == "semver":
        return _range(rest)
    return lambda text: matches((pattern,), text)


def _expression(text: str) -> Match:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES_MAX
    try:
        expression = re2.compile(text, options)
    except re2.error as error:
        why = error.args[0] if error.args else ""
        raise ValueError(f"not a regular expression: {why.decode() if isinstance(why, bytes) else why}") from None
    return lambda found: expression.fullmatch(found) is not None


def _range(text: str) -> Match:
    try:
        spec = semantic_version.NpmSpec(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a range of versions, such as >=1.2 <2 or ^1.4") from None

    def match(tag: str) -> bool:
        found = version(tag)
        return found is not None and bool(spec.match(found))

    return match


def version(tag: str) -> semantic_version.Version | None:
    """Read a tag as a version, with `v` before it or not, `1.2` as 1.2.0; None of one that is none."""
    match = _VERSION.fullmatch(tag)
    if match is None:
        return None
    try:
        return semantic_version.Version.coerce(match[1])
    except ValueError:
        return None


def newest(tags: Iterable[str], count: int) -> list[str]:
    """Return the `count` newest tags, the newest first: versions by their order, then the others by their numbers."""
    return sorted(tags, key=_age, reverse=True)[:count]


def _age(tag: str) -> tuple[bool, object, list[tuple[bool, int, str]]]:
    found = version(tag)
    # `1.9` is before `1.10`: runs of digits compare as numbers.
    parts = [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in _DIGITS.split(tag)]
    return found is not None, found or semantic_version.Version("0.0.0"), parts
