"""Request ids: the word by which log lines, the audit and the client speak of the same request.

An id lies in a context variable, which every log line has: work that a request begins carries its id on, whoever joins
that work later. Never: text of a client's that is more than a plain word.
"""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars, reset_contextvars

from mirror.telemetry.traces import forget_span

REQUEST_ID: Final = "X-Request-Id"
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


@contextmanager
def identified(given: str = "") -> Iterator[str]:
    """Give what happens here an id: the client's where it is a plain word of 1 to 128 characters, else a new one."""
    named = given if _PLAIN.fullmatch(given) else new_request_id()
    tokens = bind_contextvars(request_id=named)
    try:
        yield named
    finally:
        reset_contextvars(**tokens)


def request_id() -> str:
    """Return the id of the request at hand, a new one where there is none."""
    return get_contextvars().get("request_id") or new_request_id()


def new_request_id() -> str:
    """Make an id in the form of AWS's."""
    return str(uuid.uuid4())


def forget_request() -> None:
    """Let the task that calls go on as nobody's: for work without end that happened to begin in a request."""
    clear_contextvars()
    forget_span()
