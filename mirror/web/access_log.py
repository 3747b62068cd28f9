"""One line a request, when the operator wants it: who asked for what, and what was answered. Both lanes write it."""

import time
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from mirror import telemetry
from mirror.aws.principals import Principal
from mirror.oci.names import Repository

LAYERS: Final = "/layers/"  # what follows is a key to a layer
TARGET_CHARS_MAX: Final = 500
USER_AGENT_CHARS_MAX: Final = 200  # buildkit's, the longest of those that mean something, has 120
CALLER: Final = web.RequestKey("caller", Principal)  # who asks, once that is proved
REPOSITORY: Final = web.RequestKey("repository", Repository)  # which one it is about, once that is known


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer. `duration_ms`: until the answer was in the kernel's hands, or ready to be."""

    request_id: str
    method: str
    target: str
    status: int
    bytes: int
    duration_ms: float
    remote: str | None
    user_agent: str
    principal: str
    repository: str


class AccessLog:
    """Writes a line a request, or nothing."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._log = telemetry.logger("web.access")

    def note(self, one: Exchange) -> None:
        self._log.info(
            "request",
            request_id=one.request_id,
            method=one.method,
            target=said(one.target),
            status=one.status,
            bytes=one.bytes,
            duration_ms=one.duration_ms,
            remote=one.remote,
            user_agent=one.user_agent[:USER_AGENT_CHARS_MAX],
            principal=one.principal,
            repository=one.repository,
        )


def exchange_of(
    request: web.BaseRequest, response: web.StreamResponse, request_id: str, began_at: float, size: int
) -> Exchange:
    """Return what the normal way did; it began at `began_at` (monotonic seconds) and sent `size` bytes of a body."""
    caller, repository = request.get(CALLER), request.get(REPOSITORY)
    return Exchange(
        request_id=request_id,
        method=request.method,
        target=request.raw_path,
        status=response.status,
        bytes=size,
        duration_ms=since_ms(began_at),
        remote=request.remote,
        user_agent=request.headers.get("User-Agent", ""),
        principal=name_of(caller) if caller is not None else "anonymous",
        repository=str(repository) if repository is not None else "",
    )


def since_ms(began_at: float) -> float:
    """Return the milliseconds since `began_at` (monotonic seconds), to the microsecond."""
    return round((time.monotonic() - began_at) * 1_000, 3)


def name_of(principal: Principal) -> str:
    """Return what a line calls a principal: a user's name, a role's with its session's, `root`, `anonymous`."""
    if principal.kind in ("anonymous", "root"):
        return principal.kind
    return f"{principal.name}/{principal.session}" if principal.session else principal.name


def said(target: str) -> str:
    """Return what a log may say of a request's target: nothing that is a key, or that would be good once more."""
    path, question, query = target.partition("?")
    if path.startswith(LAYERS):
        return f"{LAYERS}..."
    if path == "/" and query:
        return f"/{question}..."  # a signed call
    return target[:TARGET_CHARS_MAX]
