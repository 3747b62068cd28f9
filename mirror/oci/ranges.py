"""HTTP byte ranges, read strictly.

Source: RFC 9110 section 14. aiohttp's own reader answers 416 to several ranges and takes digits of other scripts, so
the node reads them itself (CLIENTS quirks 7 and 8). Pure.
"""

import re
from dataclasses import dataclass
from typing import Final

from mirror.oci.errors import RangeNotSatisfiable, RequestInvalid

RANGES_MAX: Final = 64  # c/image asks for dozens at most; more is an attack on our headers
_SPEC: Final = re.compile(r"([0-9]{0,19})-([0-9]{0,19})")
_CONTENT_RANGE: Final = re.compile(r"(?:bytes[ =])?([0-9]{1,19})-([0-9]{1,19})(?:/(?:\*|[0-9]{1,19}))?")
_ANSWERED: Final = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/(\*|[0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` up to, not including, `end`."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def content_range(self, size: int) -> str:
        return f"bytes {self.start}-{self.end - 1}/{size}"


def parse_range(header: str | None, size: int) -> list[Span] | None:
    """Read a Range header against `size` bytes: the spans in the order asked, or None for "send the whole".

    None for no header, another unit, a header outside the grammar, or too many ranges (a server may ignore Range).
    Raises RangeNotSatisfiable when no range touches the bytes, and for a first position after the last (`500-0`).
    """
    if header is None or not header.lower().startswith("bytes="):
        return None
    specs = [spec.strip() for spec in header[6:].split(",")]
    if len(specs) > RANGES_MAX:
        return None
    spans: list[Span] = []
    for spec in specs:
        match = _SPEC.fullmatch(spec)
        if match is None or spec == "-":
            return None
        span = _resolve(match[1], match[2], size)
        if span is not None:
            spans.append(span)
    if not spans:
        raise RangeNotSatisfiable(
            f"range {header[:100]!r} is outside the {size} bytes", headers={"Content-Range": f"bytes */{size}"}
        )
    return spans


def _resolve(first: str, last: str, size: int) -> Span | None:
    if not first:
        length = min(int(last), size)
        return Span(size - length, size) if length else None
    start = int(first)
    end = min(int(last) + 1, size) if last else size
    return Span(start, end) if start < end else None


def parse_content_range(header: str) -> Span:
    """Read the Content-Range of an upload chunk: `a-b`, as the spec has it, or HTTP's `bytes a-b/total`."""
    match = _CONTENT_RANGE.fullmatch(header.strip())
    if match is None or int(match[2]) < int(match[1]):
        raise RequestInvalid(f"Content-Range {header[:100]!r} is not <first>-<last>")
    return Span(int(match[1]), int(match[2]) + 1)


def parse_answered_range(header: str) -> tuple[Span, int | None] | None:
    """Read the Content-Range of a 206 answer: the span and the whole size where told; None when it cannot be read."""
    match = _ANSWERED.fullmatch(header.strip())
    if match is None or int(match[2]) < int(match[1]):
        return None
    return Span(int(match[1]), int(match[2]) + 1), None if match[3] == "*" else int(match[3])
