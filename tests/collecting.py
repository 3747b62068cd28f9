"""A collector of spans, as OpenTelemetry's would be: OTLP over HTTP on loopback, decoded by the protocol's own package.

async with Collector() as collector:
    async with traced(collector): ...   # what is done inside is traced, all of it unless `sample` says otherwise
    await collector.told()              # what waited has been sent
    (fill,) = collector.named("blob fill")
    assert collector.parent(fill).name == "request"
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from mirror import telemetry

PROTOBUF = "application/x-protobuf"


class Collector:
    """Takes spans; `status` is what it answers, after `may_answer`."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resource: dict[str, Any] = {}
        self.status = 200
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._take), shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.may_answer.set()
        await self._runner.cleanup()

    async def _take(self, request: web.BaseRequest) -> web.Response:
        assert (request.method, request.path, request.content_type) == ("POST", "/v1/traces", PROTOBUF)
        found = ExportTraceServiceRequest.FromString(await request.read())
        self.asked.set()
        await self.may_answer.wait()
        if self.status == 200:
            for group in found.resource_spans:
                self.resource = {one.key: one.value.string_value for one in group.resource.attributes}
                self.spans += [span for scope in group.scope_spans for span in scope.spans]
        return web.Response(status=self.status, content_type=PROTOBUF)

    async def told(self) -> None:
        """End tracing: what waits is sent."""
        await asyncio.to_thread(telemetry.stop_tracing)

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def parent(self, span: Span) -> Span:
        """Return the span that another one is a part of."""
        (found,) = (one for one in self.spans if one.span_id == span.parent_span_id)
        assert found.trace_id == span.trace_id
        return found

    def children(self, span: Span) -> list[str]:
        """Name what a span is made of, in the order in which it began."""
        found = [one for one in self.spans if one.parent_span_id == span.span_id]
        return [one.name for one in sorted(found, key=lambda one: one.start_time_unix_nano)]


def attributes(span: Any) -> dict[str, Any]:
    """Return what a span, or an event of it, says."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


@asynccontextmanager
async def traced(collector: Collector, sample: float = 1.0) -> AsyncIterator[None]:
    """Send spans to a collector."""
    await asyncio.to_thread(telemetry.start_tracing, collector.url, sample, "0.test")
    try:
        yield
    finally:
        await collector.told()
