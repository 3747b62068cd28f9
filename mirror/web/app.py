"""One way in for every request: read, look up in the table, let in, do, answer.

The table is the API: a path and method that are not in it are refused.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from aiohttp import web

from mirror import telemetry
from mirror.oci.errors import RegistryError, RequestInvalid, Unsupported
from mirror.oci.names import Registry, Repository
from mirror.oci.paths import Kind, Route, parse_path
from mirror.registry.authority import Circumstances
from mirror.rules.access.actions import Step
from mirror.rules.replication import HEADER
from mirror.web.access_log import CALLER, REPOSITORY, AccessLog, exchange_of, said
from mirror.web.admission import Admission
from mirror.web.distribution import Distribution
from mirror.web.gate import check_method, circumstances, read_target
from mirror.web.ops import Ops
from mirror.web.refusals import refuse
from mirror.web.replication import Asked, Replication
from mirror.web.uploads import UploadHandlers
from mirror.web.visit import Visit

Handler = Callable[[web.BaseRequest, Visit], Awaitable[web.StreamResponse]]
Page = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Operation = tuple[Step, Handler]

log: Final = structlog.get_logger()


class Witness(Protocol):
    """Who is told of what was done, and of what was refused."""

    def saw(self, visit: Visit, step: Step, error: RegistryError | None) -> None: ...

    def refused(self, route: Route, host: str, step: Step, now: Circumstances, error: RegistryError) -> None: ...


@dataclass(frozen=True, slots=True)
class Pages:
    """What is not the docker protocol: whole paths, and the beginnings of paths, each with its handler."""

    whole: Mapping[str, Page]
    below: Mapping[str, Page]

    def find(self, path: str) -> Page | None:
        page = self.whole.get(path)
        if page is None:
            page = next((page for prefix, page in self.below.items() if path.startswith(prefix)), None)
        return page


class App:
    """The node's request handler."""

    def __init__(
        self,
        admission: Admission,
        distribution: Distribution,
        uploads: UploadHandlers,
        ops: Ops,
        pages: Pages,
        access: AccessLog,
        witness: Witness,
        replication: Replication,
    ) -> None:
        self._admission = admission
        self._distribution = distribution
        self._access = access
        self._witness = witness
        self._replication = replication
        self._ops: Mapping[str, Page] = {"/healthz": ops.healthz, "/readyz": ops.readyz, "/metrics": ops.metrics}
        self._pages = pages
        self._table: Mapping[Kind, Mapping[str, Operation]] = {
            "tags": _read("list_tags", distribution.get_tags),
            "referrers": _read("list_referrers", distribution.get_referrers),
            "manifest": {
                **_read("get_manifest", distribution.get_manifest),
                "PUT": ("put_manifest", distribution.put_manifest),
                "DELETE": ("delete_manifest", distribution.delete_manifest),
            },
            "blob": {
                "GET": ("get_blob", distribution.get_blob),
                "HEAD": ("head_blob", distribution.head_blob),
                "DELETE": ("delete_manifest", distribution.delete_blob),
            },
            "uploads": {"POST": ("start_upload", uploads.post)},
            "upload": {
                "GET": ("append_upload", uploads.get),
                "PATCH": ("append_upload", uploads.patch),
                "PUT": ("finish_upload", uploads.put),
                "DELETE": ("append_upload", uploads.delete),
            },
        }

    @property
    def steps(self) -> Mapping[Kind, Mapping[str, Step]]:
        """The docker protocol as it stands here: each route's methods, and the step that each of them is."""
        return {kind: {method: step for method, (step, _) in methods.items()} for kind, methods in self._table.items()}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request, under the id that its log lines, its audit event and its answer have."""
        if request.protocol.writing_paused:
            # A client that asks on without reading waits for itself, and costs the memory of one answer.
            await request.writer.drain()
        began_at = time.monotonic()
        with telemetry.identified(request.headers.get(telemetry.REQUEST_ID, "")) as request_id:
            parent, target = request.headers.get("traceparent", ""), said(request.raw_path)
            with telemetry.span("request", parent=parent, method=request.method, target=target) as span:
                kind, response = await self._respond(request)
                span.note(request_id=request_id, route=kind, status=response.status, repository=request.get(REPOSITORY))
                if response.status >= 500:
                    span.failed(f"{response.status}")
            _name(request, response, request_id)
            if kind != "ops":
                self._count(request, response, kind, request_id, began_at)
        return response

    async def _respond(self, request: web.BaseRequest) -> tuple[str, web.StreamResponse]:
        """Answer a request, and say what kind it is of; the only `except RegistryError` of the door."""
        kind = "other"
        try:
            path, query = read_target(request)
            ops, page = self._ops.get(path), self._pages.find(path)
            if ops is not None:
                check_method(request.method, ("GET", "HEAD"), path)
                return "ops", await ops(request)
            if page is not None:
                response = await page(request)
            else:
                route = parse_path(path)
                kind = route.kind
                response = await self._answer(request, route, query)
        except RegistryError as error:
            response = refuse(error)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("request failed", method=request.method, path=said(request.raw_path))
            response = refuse(RegistryError("the node failed to answer; its log says why"))
        if not request.content.is_eof():
            response.force_close()  # an unread body must not be read as the next request
        return kind, response

    def _count(
        self, request: web.BaseRequest, response: web.StreamResponse, kind: str, request_id: str, began_at: float
    ) -> None:
        size = 0 if request.method == "HEAD" else response.content_length or 0
        telemetry.answered(request.method, kind, response.status, "normal")
        telemetry.RESPONSE_BYTES.inc(size)
        if self._access.enabled:
            self._access.note(exchange_of(request, response, request_id, began_at, size))

    async def _answer(self, request: web.BaseRequest, route: Route, query: str) -> web.StreamResponse:
        if route.kind in ("base", "catalog"):
            return await self._answer_general(request, route, query)
        operations = self._table[route.kind]
        check_method(request.method, operations, route.kind)
        step, handler = operations[request.method]
        now = circumstances(request)
        host, credential = _host(request), _credential(request)
        try:
            header = request.headers.get(HEADER)
            if header is None:
                visit = await self._admission.admit(host, credential, route, query, step, now)
            else:
                asked = Asked(host, credential, route, query, now)
                visit = await self._replication.admit(asked, header, step, request.method)
        except RegistryError as error:
            self._witness.refused(route, host, step, now, error)
            raise
        request[CALLER], request[REPOSITORY] = visit.caller.principal, visit.repository
        try:
            response = await handler(request, visit)
        except RegistryError as error:
            self._witness.saw(visit, step, error)
            raise
        self._witness.saw(visit, step, None)
        return response

    async def _answer_general(self, request: web.BaseRequest, route: Route, query: str) -> web.StreamResponse:
        """Answer what is about no repository."""
        check_method(request.method, ("GET", "HEAD"), route.kind)
        now = circumstances(request)
        place, caller = await self._admission.enter(_host(request), _credential(request), now)
        if route.kind == "base":
            return self._distribution.base()
        if place.registry is None:
            raise Unsupported("the public registries are listed by their API, not here")
        nothing = Repository(Registry(place.registry.account), "", "")
        return await self._distribution.get_catalog(Visit(route, query, place, nothing, caller, now))


def _name(request: web.BaseRequest, response: web.StreamResponse, request_id: str) -> None:
    """Tell a client the id where it may want to ask about it. What both lanes answer is the same, and has none."""
    is_read = request.method in ("GET", "HEAD") and response.status < 400
    if not is_read and not response.prepared and "x-amzn-RequestId" not in response.headers:
        response.headers[telemetry.REQUEST_ID] = request_id


def _host(request: web.BaseRequest) -> str:
    return request.headers.get("Host", "")


def _credential(request: web.BaseRequest) -> str:
    """Return the Authorization header. Raises RequestInvalid where there are two: none of ours to choose from."""
    found = request.headers.getall("Authorization", ())
    if len(found) > 1:
        raise RequestInvalid("two Authorization headers")
    return found[0] if found else ""


def _read(step: Step, handler: Handler) -> Mapping[str, Operation]:
    return {"GET": (step, handler), "HEAD": (step, handler)}
