"""One way in for every request: read, look up in the table, check, do, answer.

The table is the API: a path and method that are not in it are refused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

import structlog
from aiohttp import web

from mirror import telemetry
from mirror.oci.errors import RegistryError, Unsupported
from mirror.oci.paths import Kind, Route, parse_path
from mirror.rules.access import Action
from mirror.web.access_log import AccessLog
from mirror.web.distribution import Distribution
from mirror.web.door import Door
from mirror.web.gate import read_target
from mirror.web.ops import Ops
from mirror.web.refusals import refuse
from mirror.web.uploads import UploadHandlers

Handler = Callable[[web.BaseRequest, Route, str], Awaitable[web.StreamResponse]]
Operation = tuple[Action | None, Handler]

log: Final = structlog.get_logger()


class App:
    """The node's request handler."""

    def __init__(
        self, door: Door, distribution: Distribution, uploads: UploadHandlers, ops: Ops, access: AccessLog
    ) -> None:
        self._door = door
        self._access = access
        self._ops: Mapping[str, Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]] = {
            "/healthz": ops.healthz,
            "/readyz": ops.readyz,
            "/metrics": ops.metrics,
        }
        self._table: Mapping[Kind, Mapping[str, Operation]] = {
            "base": {"GET": (None, distribution.base), "HEAD": (None, distribution.base)},
            "catalog": {"GET": ("pull", distribution.get_catalog), "HEAD": ("pull", distribution.get_catalog)},
            "tags": {"GET": ("pull", distribution.get_tags), "HEAD": ("pull", distribution.get_tags)},
            "referrers": {"GET": ("pull", distribution.get_referrers), "HEAD": ("pull", distribution.get_referrers)},
            "manifest": {
                "GET": ("pull", distribution.get_manifest),
                "HEAD": ("pull", distribution.get_manifest),
                "PUT": ("push", distribution.put_manifest),
                "DELETE": ("delete", distribution.delete_manifest),
            },
            "blob": {
                "GET": ("pull", distribution.get_blob),
                "HEAD": ("pull", distribution.head_blob),
                "DELETE": ("delete", distribution.delete_blob),
            },
            "uploads": {"POST": ("push", uploads.post)},
            "upload": {
                "GET": ("push", uploads.get),
                "PATCH": ("push", uploads.patch),
                "PUT": ("push", uploads.put),
                "DELETE": ("push", uploads.delete),
            },
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; the only `except RegistryError` of the door."""
        route = "other"
        if request.protocol.writing_paused:
            # A client that asks on without reading waits for itself, and costs the memory of one answer.
            await request.writer.drain()
        try:
            path, query = read_target(request)
            ops = self._ops.get(path)
            if ops is not None:
                _check_method(request.method, ("GET", "HEAD"), path)
                return await ops(request)
            found = parse_path(path)
            route = found.kind
            response = await self._handler(request.method, found)(request, found, query)
        except RegistryError as error:
            response = refuse(error)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("request failed", method=request.method, path=request.raw_path[:300])
            response = refuse(RegistryError("the node failed to answer; its log says why"))
        if not request.content.is_eof():
            response.force_close()  # an unread body must not be read as the next request
        telemetry.answered(request.method, route, response.status, "normal")
        if request.method != "HEAD":
            telemetry.RESPONSE_BYTES.inc(response.content_length or 0)
        self._access.note(request.method, request.raw_path, response.status, request.remote)
        return response

    def _handler(self, method: str, route: Route) -> Handler:
        operations = self._table[route.kind]
        _check_method(method, operations, route.kind)
        action, handler = operations[method]
        if action is not None:
            self._door.check(action)
        return handler


def _check_method(method: str, allowed: Collection[str], of: str) -> None:
    """Raise Unsupported, which tells what is allowed (RFC 9110 section 15.5.6), unless `method` is."""
    if method not in allowed:
        listed = ", ".join(allowed)
        raise Unsupported(f"{method[:20]} is not for {of}: {listed} are", headers={"Allow": listed})
