"""Answers of JSON lines: what goes on is told as it comes, the last line is the result."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from mirror.web.heads import last_headers

BEAT_S: Final = 1.0  # a silent client is noticed, and a bar moves; those who wait give up after thirty


def json_lines() -> web.StreamResponse:
    """Make such an answer: to be prepared, told and ended; that raises ConnectionError when the client has gone."""
    return web.StreamResponse(headers=[("Content-Type", "application/x-ndjson"), *last_headers()])


async def tell(response: web.StreamResponse, line: msgspec.Struct | Mapping[str, Any]) -> None:
    """Send a line."""
    await response.write(msgspec.json.encode(line) + b"\n")
