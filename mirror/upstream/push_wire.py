"""Requests that change another registry: who we are, how long we wait, and what a refusal means.

Source: OCI distribution-spec v1.1, "Push"; RELIABILITY section 4. Nothing is sent twice here but what was refused for
want of a credential: what to do after a failure is for those who know what it was about.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

import aiohttp
import orjson
from yarl import URL

from mirror import telemetry
from mirror.oci.errors import RegistryError, UpstreamDenied, UpstreamError, UpstreamTimeout, UpstreamUnavailable
from mirror.upstream.body import read_small
from mirror.upstream.limits import SMALL_BYTES_MAX
from mirror.upstream.sessions import Sessions

ANSWER_S_MAX: Final = 60.0  # finishing an upload of 50 GB hashes nothing again, but syncs a disk
STALL_S_MAX: Final = 60.0  # between two pieces of a body that the other side takes
MESSAGE_BYTES_MAX: Final = 64 * 1024
_LATER: Final = frozenset({408, 425, 429})

Body = Callable[[Callable[[], None]], AsyncIterator[bytes]]  # makes a body; it calls with each piece that is taken


class Identity(Protocol):
    """How a registry is told who we are."""

    async def header(self, scope: str) -> str:
        """Return the value of the `Authorization` header, "" for none. Raises UpstreamError and its kin."""
        ...

    async def after(self, refusal: aiohttp.ClientResponse, scope: str, shown: str) -> str:
        """Return what to show after a 401 or 403 to `shown`; "" when there is nothing better."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `data` is a body of bytes, `body` makes one that streams."""

    method: str
    url: URL
    scope: str
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes | None = None
    body: Body | None = None


class PushWire:
    """The way to one registry. `what` is how messages call it."""

    def __init__(self, what: str, sessions: Sessions, identity: Identity, headers: Mapping[str, str]) -> None:
        self.what = what
        self._sessions = sessions
        self._identity = identity
        self._headers = headers

    @asynccontextmanager
    async def asked(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask; the answer, a success or a 404, is given back to the pool at the end.

        Raises UpstreamUnavailable where asking again later may help, UpstreamDenied, UpstreamError.
        """
        response = await self._admitted(request)
        try:
            if response.status >= _first_failure(request.method) and response.status != 404:
                raise await self._refusal(response)
            yield response
        finally:
            response.release()

    def refuse_missing(self, response: aiohttp.ClientResponse) -> None:
        """Raise UpstreamError for a 404 to what must be there."""
        if response.status == 404:
            raise UpstreamError(f"{self.what}: {response.method} {response.url.path}: not found there")

    def place(self, response: aiohttp.ClientResponse) -> URL:
        """Read where an upload goes on: a place at this registry, whatever it calls itself, or an https one elsewhere.

        Raises UpstreamError.
        """
        try:
            place = response.url.join(URL(response.headers.get("Location", ""), encoded=True))
        except ValueError:
            raise UpstreamError(f"{self.what} names no place to send to") from None
        home = self._sessions.home
        # A registry behind a proxy may think that it is plain http, or at another port.
        if place.scheme == "https" and place.host != home.host:
            return place
        return home.join(URL(place.raw_path_qs, encoded=True))

    async def close(self) -> None:
        await self._sessions.close()

    async def _admitted(self, request: Request) -> aiohttp.ClientResponse:
        """Ask with what the registry wants to see; once more where it wants something else."""
        if not self._sessions.is_home(request.url):
            return await self._ask(request, "")
        shown = await self._identity.header(request.scope)
        response = await self._ask(request, shown)
        if response.status not in (401, 403):
            return response
        try:
            better = await self._identity.after(response, request.scope, shown)
        except RegistryError:
            response.release()
            raise
        if not better:
            return response
        response.release()
        return await self._ask(request, better)

    async def _ask(self, request: Request, shown: str) -> aiohttp.ClientResponse:
        headers = {**self._headers, **request.headers, **({"Authorization": shown} if shown else {})}
        try:
            async with asyncio.timeout(ANSWER_S_MAX) as clock:
                data: Any = request.data
                if request.body is not None:
                    data = request.body(partial(_wind, clock))
                with telemetry.span("upstream call", upstream=self.what, method=request.method) as span:
                    response = await self._sessions.request(request.method, request.url, headers, data)
                    span.note(status=response.status)
                    return response
        except TimeoutError:
            raise UpstreamTimeout(f"{self.what} gave no answer within {ANSWER_S_MAX:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamUnavailable(f"{self.what}: {error or type(error).__name__}") from None

    async def _refusal(self, response: aiohttp.ClientResponse) -> RegistryError:
        said = f"{self.what} answered {response.status}: {await self._message(response)}"
        if response.status in (401, 403):
            return UpstreamDenied(said)
        return UpstreamUnavailable(said) if response.status >= 500 or response.status in _LATER else UpstreamError(said)

    async def _message(self, response: aiohttp.ClientResponse) -> str:
        try:
            said = orjson.loads(await self.read(response, MESSAGE_BYTES_MAX))
            return str(said["errors"][0]["message"] if "errors" in said else said.get("message", ""))[:500]
        except (UpstreamError, ValueError, LookupError, TypeError, AttributeError):
            return ""

    async def read(self, response: aiohttp.ClientResponse, bytes_max: int = SMALL_BYTES_MAX) -> bytes:
        """Read a small answer. Raises UpstreamError and its kin."""
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                return await read_small(response, bytes_max)
        except TimeoutError:
            raise UpstreamTimeout(f"{self.what} did not end its answer within {ANSWER_S_MAX:g} s") from None


def _wind(clock: asyncio.Timeout) -> None:
    """Give the other side its time once more: it has taken something."""
    with suppress(RuntimeError):  # it has answered before it had all
        clock.reschedule(asyncio.get_running_loop().time() + STALL_S_MAX)


def _first_failure(method: str) -> int:
    """A HEAD that is sent to a store of bytes says that the bytes are there."""
    return 400 if method == "HEAD" else 300
