"""Kubernetes manifests for tests: the part of YAML that ours are written in, read without a library.

Block mappings and sequences, plain and double-quoted scalars, flow sequences of those, and `|` texts; comments on lines
of their own. Anything else raises ValueError. Where kubectl is installed a test holds this to what kubectl reads.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_KEY = re.compile(r"([A-Za-z][\w./-]*):(?: (.+))?")
_PLAIN = re.compile(r"[A-Za-z0-9/][\w./:-]*")


class _Lines:
    """The lines of a document that say something, each with its indent."""

    def __init__(self, text: str) -> None:
        self._lines = [(len(line) - len(line.lstrip()), line.strip()) for line in text.split("\n")]
        self._raw = text.split("\n")
        self._at = 0

    def peek(self) -> tuple[int, str]:
        """Return the next line's indent and text; -1 and "" at the end."""
        while self._at < len(self._lines) and (not self._lines[self._at][1] or self._lines[self._at][1][0] == "#"):
            self._at += 1
        return self._lines[self._at] if self._at < len(self._lines) else (-1, "")

    def take(self) -> str:
        _, text = self.peek()
        self._at += 1
        return text

    def replace(self, indent: int, text: str) -> None:
        """Put the rest of a line in its place: what follows the dash of a sequence."""
        self._lines[self._at] = (indent, text)

    def text_below(self, indent: int) -> str:
        """Take the lines of a `|` text: all that are indented deeper, or empty."""
        start = self._at
        while self._at < len(self._raw) and (self._lines[self._at][0] > indent or not self._lines[self._at][1]):
            self._at += 1
        lines = self._raw[start : self._at]
        margin = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
        return "\n".join(line[margin:] for line in lines).rstrip("\n") + "\n"


def read_manifests(path: Path) -> list[dict[str, Any]]:
    """Read the documents of a file."""
    documents = re.split(r"^---$", path.read_text(), flags=re.MULTILINE)
    return [read for document in documents if (read := _read(_Lines(document))) is not None]


def containers(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the containers of a workload, those of its start too."""
    pod = manifest["spec"]["template"]["spec"]
    yield from [*pod.get("initContainers", []), *pod["containers"]]


def _read(lines: _Lines) -> Any:
    indent, text = lines.peek()
    if indent < 0:
        return None
    return _sequence(lines, indent) if text.startswith("- ") else _mapping(lines, indent)


def _mapping(lines: _Lines, indent: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while lines.peek()[0] == indent:
        text = lines.take()
        match = _KEY.fullmatch(text)
        if match is None or match[1] in found:
            raise ValueError(f"not of our YAML: {text!r}")
        if match[2] == "|":
            found[match[1]] = lines.text_below(indent)
        elif match[2] is not None:
            found[match[1]] = _scalar(match[2])
        elif lines.peek()[0] > indent:
            found[match[1]] = _read(lines)
        else:
            raise ValueError(f"nothing below {text!r}")
    return found


def _sequence(lines: _Lines, indent: int) -> list[Any]:
    found = []
    while lines.peek()[0] == indent and lines.peek()[1].startswith("- "):
        text = lines.peek()[1]
        lines.replace(indent + 2, text[2:])
        found.append(_mapping(lines, indent + 2) if _KEY.fullmatch(text[2:]) else _scalar(lines.take()))
    return found


def _scalar(text: str) -> Any:
    if text[0] in '["{':
        return json.loads(text)
    if text.isdecimal() or text in ("true", "false"):
        return json.loads(text)
    # What other readers take for a truth, a number with a point or nothing.
    if not _PLAIN.fullmatch(text) or text.lower() in ("yes", "no", "on", "off", "y", "n", "null") or _is_float(text):
        raise ValueError(f"not of our YAML, or not for everybody the same: {text!r}")
    return text


def _is_float(text: str) -> bool:
    return re.fullmatch(r"\d+\.\d*", text) is not None
