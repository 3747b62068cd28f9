"""The reception of all four AWS APIs: who calls, is it proved, may they, do it, note it down.

The two protocols differ in how a call is written; what happens to it happens here.
"""

import hashlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import structlog
from aiohttp import web

from mirror.aws.errors import UnrecognizedClient, UnsupportedCommand
from mirror.aws.principals import Principal
from mirror.oci.errors import RegistryError
from mirror.web.access_log import CALLER
from mirror.web.aws.bodies import Bodies, by_size
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.aws.claim import Claim
from mirror.web.aws.models import Models, Operation
from mirror.web.aws.sigv4 import Signed, verify
from mirror.web.gate import check_plain, read_target

USER_AGENT_CHARS_MAX: Final = 1_000
EMPTY_DIGEST: Final = hashlib.sha256(b"").hexdigest()

Authorize = Callable[[Call], None]
Audit = Callable[[Call, RegistryError | None], None]

log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Found:
    """Whose key it is, and the secret that must have signed."""

    principal: Principal
    secret: str = field(repr=False)


class Keys(Protocol):
    """Who has which key."""

    async def find(self, claim: Claim) -> Found:
        """Find the key that a claim names. Raises UnrecognizedClient, ExpiredToken.

        A temporary key is known only with its own session token, which the claim has and the signature covers.
        """
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. With a claim, not proved before the body has been received."""

    principal: Principal
    region: str
    claim: Claim | None = None
    secret: str = field(default="", repr=False)


class Reception:
    """Takes calls and has them done. `regions` are those of the ECR APIs, the node's own first."""

    def __init__(
        self,
        models: Models,
        handlers: Mapping[tuple[Service, str], Handler],
        keys: Keys,
        authorize: Authorize,
        audit: Audit,
        *,
        regions: Collection[str],
        bodies: Bodies,
    ) -> None:
        """`authorize` raises AccessDenied; `audit` is told each call that is known to be somebody's, and its end."""
        self.models = models
        self.regions = regions
        self._handlers = handlers
        self._keys = keys
        self._authorize = authorize
        self._audit = audit
        self._bodies = bodies
        self.clock = time.time

    def trusted(self, principal: Principal) -> Caller:
        """Return a caller who needs no proof: one at the node's own socket."""
        return Caller(principal, next(iter(self.regions)))

    async def identify(self, request: web.BaseRequest, claim: Claim) -> Caller:
        """Find who a claim names. Raises UnrecognizedClient, ExpiredToken; a stranger's body is never read."""
        try:
            found = await self._keys.find(claim)
        except UnrecognizedClient:
            verify(claim, _signed(request, EMPTY_DIGEST), None, self.clock())
            raise
        return Caller(found.principal, claim.region, claim, found.secret)

    @asynccontextmanager
    async def receive(self, request: web.BaseRequest, caller: Caller, size_max: int) -> AsyncIterator[bytes]:
        """Read the body, and prove by it that the caller is who the claim says. Raises as `Bodies` and `verify` do."""
        check_plain(request)
        async with self._bodies.reading(request, size_max) as body:
            if caller.claim is not None:
                digest = await by_size(body, _digest)
                verify(caller.claim, _signed(request, digest), caller.secret, self.clock())
            yield body

    async def answer(
        self, request: web.BaseRequest, caller: Caller, operation: Operation, request_id: str, values: object
    ) -> Mapping[str, Any]:
        """Validate, authorize and do a call whose decoded input is `values`. Raises RegistryError."""
        request[CALLER] = caller.principal
        call = _call(request, caller, operation, request_id)
        try:
            call = replace(call, input=operation.input.read(values))
            self._authorize(call)
            output = await self._handler(operation)(call)
        except RegistryError as error:
            self._audit(call, error)
            raise
        except Exception:
            self._audit(call, RegistryError("the node failed to answer"))
            raise
        self._audit(call, None)
        return output

    def _handler(self, operation: Operation) -> Handler:
        handler = self._handlers.get((operation.service, operation.name))
        if handler is None:
            raise UnsupportedCommand(f"The operation {operation.name} is not supported by this registry")
        return handler


def failure(error: Exception, what: str) -> RegistryError:
    """Return the refusal that stands for a fault of our own, and log the fault."""
    log.error("call failed", operation=what[:100], exc_info=error)
    return RegistryError("The server encountered an internal error. Its log says more.")


def _call(request: web.BaseRequest, caller: Caller, operation: Operation, request_id: str) -> Call:
    """Return a call whose input is still to be read."""
    return Call(
        service=operation.service,
        operation=operation.name,
        principal=caller.principal,
        input={},
        request_id=request_id,
        source_ip=request.remote or "",
        user_agent=request.headers.get("User-Agent", "")[:USER_AGENT_CHARS_MAX],
        secure=request.secure,
        region=caller.region,
        key_id=caller.claim.key_id if caller.claim else "",
    )


def _signed(request: web.BaseRequest, digest: str) -> Signed:
    path, query = read_target(request)
    return Signed(request.method, path, query, request.headers, digest)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
