"""Spans to a collector, by OTLP/HTTP, with the packages of the extra `traces`.

Source: W3C Trace Context; OpenTelemetry specification, "Tracing SDK". A caller's `traceparent` is taken up, and
its word on whether it is sampled. Spans are sent from a thread of their own; what cannot be sent in time is dropped and
counted. Never: the text of an exception, which may quote what somebody sent; a word to an upstream.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from queue import Empty, Full, Queue
from threading import Thread
from time import monotonic
from typing import Final

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mirror.telemetry.metrics import TRACE_SPANS_DROPPED

SPANS_MAX: Final = 4_096  # waiting spans; some 8 MiB
BATCH_MAX: Final = 512  # spans in one request
BATCH_S: Final = 1.0  # how long the first span of a batch waits for others
EXPORT_S_MAX: Final = 5.0  # of one batch, with its repetitions
CLOSE_S_MAX: Final = 2.0  # how long the end of the process waits for the collector
TEXT_CHARS_MAX: Final = 500  # of one value: names and reasons are shorter
EVENTS_MAX: Final = 32  # of one span; a fill that resumes more often has said enough
_KINDS: Final = {"request": SpanKind.SERVER, "upstream call": SpanKind.CLIENT}
_LIMITS: Final = SpanLimits(
    max_span_attributes=32,
    max_events=EVENTS_MAX,
    max_event_attributes=16,
    max_links=0,
    max_span_attribute_length=TEXT_CHARS_MAX,
    max_attribute_length=TEXT_CHARS_MAX,
)

_Value = str | bool | int | float


class OtlpTracer:
    """Makes spans, and sends those of sampled traces."""

    def __init__(self, endpoint: str, sample: float, version: str) -> None:
        """Take the collector's base URL; spans go to `/v1/traces` below it."""
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample)),
            resource=Resource.create({"service.name": "mirror", "service.version": version}),
            shutdown_on_exit=False,
            span_limits=_LIMITS,
        )
        self._outbox = _Outbox(endpoint)
        self._provider.add_span_processor(self._outbox)
        self._tracer = self._provider.get_tracer("mirror", version)
        self._callers = TraceContextTextMapPropagator()

    @contextmanager
    def begin(self, name: str, parent: str, attributes: dict[str, object]) -> Iterator["_Step"]:
        """Make what is done inside a span, of `parent` where there is one and it can be read."""
        around = self._callers.extract({"traceparent": parent}) if parent else None
        with self._tracer.start_as_current_span(
            name,
            around,
            _KINDS.get(name, SpanKind.INTERNAL),
            _plain(attributes),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            step = _Step(span)
            try:
                yield step
            except BaseException as error:
                step.failed(type(error).__name__)
                raise

    def event(self, name: str, attributes: dict[str, object]) -> None:
        """Note an event in the current span."""
        trace.get_current_span().add_event(name, _plain(attributes))

    def forget(self) -> None:
        """Leave every span, for the rest of the task that calls."""
        context.attach(context.Context())

    def close(self) -> None:
        """Send what waits, within CLOSE_S_MAX."""
        self._provider.shutdown()


class _Step:
    """A span that is under way."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def note(self, **attributes: object) -> None:
        self._span.set_attributes(_plain(attributes))

    def failed(self, reason: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, reason[:TEXT_CHARS_MAX]))


class _Outbox(SpanProcessor):
    """The spans that wait, and the thread that sends them."""

    def __init__(self, endpoint: str) -> None:
        self._exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_S_MAX)
        self._spans: Queue[ReadableSpan | None] = Queue(SPANS_MAX)
        self._thread = Thread(target=self._send_all, name="span-sender", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Hand over a span; never waits."""
        try:
            self._spans.put_nowait(span)
        except Full:
            TRACE_SPANS_DROPPED.inc()

    def shutdown(self) -> None:
        """Send what waits, within CLOSE_S_MAX."""
        try:
            self._spans.put(None, timeout=CLOSE_S_MAX)
            self._thread.join(CLOSE_S_MAX)
        except Full:
            pass
        self._exporter.shutdown()  # type: ignore[no-untyped-call] # the package's own

    def _send_all(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._take()
            if batch and self._exporter.export(batch) is not SpanExportResult.SUCCESS:
                TRACE_SPANS_DROPPED.inc(len(batch))

    def _take(self) -> tuple[list[ReadableSpan], bool]:
        """Wait for a span and those that come soon after it; False behind the last of all."""
        batch: list[ReadableSpan] = []
        until = 0.0
        while len(batch) < BATCH_MAX:
            try:
                span = self._spans.get(timeout=max(0.0, until - monotonic()) if batch else None)
            except Empty:
                break
            if span is None:
                return batch, False
            until = until or monotonic() + BATCH_S
            batch.append(span)
        return batch, True


def _plain(attributes: Mapping[str, object]) -> dict[str, _Value]:
    return {
        key: value if isinstance(value, str | bool | int | float) else str(value)
        for key, value in attributes.items()
        if value is not None
    }
