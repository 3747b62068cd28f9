"""Globs of tags and names, in which `*` is any run of characters and nothing else is special. Linear in time. Pure."""

from collections.abc import Sequence


def matches(patterns: Sequence[str], text: str) -> bool:
    """Tell whether any glob of `patterns` matches all of `text`: `*` is any run of characters, no other is special."""
    return any(_glob(pattern, text) for pattern in patterns)


def _glob(pattern: str, text: str) -> bool:
    """Match greedily piece by piece: linear in the text for each piece, no back-tracking (RELIABILITY G20)."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    if not text.startswith(first) or len(text) < len(first) + len(last) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
