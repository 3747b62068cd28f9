"""Request ids: the word by which log lines, the audit and the client speak of the same request.

An id lies in a context variable, which every log line has: work that a request begins carries its id on, whoever joins
that work later. Never: text of a client's that is more than a plain word.
"""

import random
import re
from contextvars import Token
from typing import Any, Final

from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars, reset_contextvars

from mirror.telemetry.traces import forget_span

REQUEST_ID: Final = "X-Request-Id"
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


class identified:  # noqa: N801 - a context manager is called as functions are
    """Give what happens here an id: the client's where it is a plain word of 1 to 128 characters, else a new one."""

    __slots__ = ("_id", "_tokens")

    def __init__(self, given: str = "") -> None:
        self._id = given if given and _PLAIN.fullmatch(given) else new_request_id()
        self._tokens: dict[str, Token[Any]] = {}

    def __enter__(self) -> str:
        self._tokens = dict(bind_contextvars(request_id=self._id))
        return self._id

    def __exit__(self, *_: object) -> None:
        reset_contextvars(**self._tokens)


def request_id() -> str:
    """Return the id of the request at hand, a new one where there is none."""
    return get_contextvars().get("request_id") or new_request_id()


def new_request_id() -> str:
    """Make an id in the form of AWS's, a UUID of version 4: a name, no secret, and made for each request."""
    text = f"{random.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def forget_request() -> None:
    """Let the task that calls go on as nobody's: for work without end that happened to begin in a request."""
    clear_contextvars()
    forget_span()
