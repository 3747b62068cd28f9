"""On which line of a TOML file each key stands.

The standard library's reader tells no places. This looks at headers and at the starts of `key = value` lines of a text
that has been read without error; what it cannot see (keys of inline tables) has the place of the table around it. Pure.
"""

import re
from typing import Final

_WORD: Final = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_PATH: Final = rf"{_WORD}(?:\s*\.\s*{_WORD})*"
_HEADER: Final = re.compile(rf"\s*(\[\[?)\s*({_PATH})\s*\]\]?\s*(?:#.*)?")
_KEY: Final = re.compile(rf"\s*({_PATH})\s*=")
_QUOTES: Final = re.compile(r'"""|\'\'\'')


def places(text: str) -> dict[str, int]:
    """Return the line (from 1) of every key and table, by its path: `server.listen`, `upstream[1].url`."""
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    table, is_inside_text = "", False
    for number, line in enumerate(text.splitlines(), start=1):
        if not is_inside_text:
            header = _HEADER.fullmatch(line)
            if header is not None:
                table = _table(header[2], header[1] == "[[", counts)
                lines.setdefault(table, number)
            elif (key := _KEY.match(line)) is not None:
                lines.setdefault(_joined(table, _bare(key[1])), number)
        is_inside_text ^= len(_QUOTES.findall(line)) % 2 == 1
    return lines


def _table(path: str, is_array: bool, counts: dict[str, int]) -> str:
    """Return the path of a table; an element of an array of tables has its number, also when named by a sub-table."""
    name = _bare(path)
    if is_array:
        counts[name] = counts.get(name, -1) + 1
        return f"{name}[{counts[name]}]"
    first, dot, rest = name.partition(".")
    return f"{first}[{counts[first]}]{dot}{rest}" if first in counts else name


def _joined(table: str, key: str) -> str:
    return f"{table}.{key}" if table else key


def _bare(path: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in path.split("."))
