"""Spans: what a collector gets, what it costs when there is none, and that nobody ever waits for one."""

import asyncio
import subprocess
import sys

import pytest
from collecting import Collector, attributes, traced
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from mirror import telemetry
from mirror.telemetry import otlp

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def dropped() -> float:
    return float(telemetry.TRACE_SPANS_DROPPED._value.get())


def test_without_a_collector_a_span_is_nothing_and_the_packages_are_not_loaded() -> None:
    """Issue 5, section 4: traces are optional. The same object each time: nothing is made."""
    assert telemetry.span("request", method="GET") is telemetry.span("blob fill")
    with telemetry.span("request") as span:
        span.note(status=200)
        span.failed("for no reason")
        telemetry.span_event("resume", front=1)
    program = (
        "import mirror.node, mirror.cli, sys; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=50, check=False).returncode == 0


async def test_a_span_tells_what_was_noted_and_how_it_ended() -> None:
    """Texts and numbers as they are, other things by their `str`; an exception by its type, never by its text."""
    async with Collector() as collector:
        async with traced(collector):
            with pytest.raises(ValueError, match="s3cret"), telemetry.span("sync walk", rule=None, on=asyncio) as span:
                span.note(images=3, share=0.5, text="t" * 1_000)
                telemetry.span_event("resume", front=7)
                raise ValueError("s3cret")
            await collector.told()
        (told,) = collector.spans
    assert collector.resource["service.name"] == "mirror"
    assert collector.resource["service.version"] == "0.test"
    assert attributes(told) == {"on": str(asyncio), "images": 3, "share": 0.5, "text": "t" * otlp.TEXT_CHARS_MAX}
    assert (told.kind, told.status.code, told.status.message) == (
        Span.SPAN_KIND_INTERNAL,
        Status.STATUS_CODE_ERROR,
        "ValueError",
    )
    (event,) = told.events
    assert (event.name, attributes(event)) == ("resume", {"front": 7})
    assert "s3cret" not in str(told)


@pytest.mark.parametrize(("flag", "spans"), [("01", 1), ("00", 0)])
async def test_a_callers_word_on_sampling_is_taken(flag: str, spans: int) -> None:
    """W3C Trace Context, "trace-flags": with `sample = 0` what is not asked for is not sent."""
    async with Collector() as collector:
        async with traced(collector, sample=0.0):
            with telemetry.span("request"), telemetry.span("ledger commit"):
                pass
            with telemetry.span("request", parent=f"00-{TRACE}-{CALLER}-{flag}"):
                pass
            await collector.told()
        assert len(collector.spans) == spans
        for span in collector.spans:
            assert (span.trace_id.hex(), span.parent_span_id.hex(), span.kind) == (
                TRACE,
                CALLER,
                Span.SPAN_KIND_SERVER,
            )


@pytest.mark.parametrize("parent", ["", "garbage", f"00-{TRACE}", f"00-{'0' * 32}-{CALLER}-01", "00-" + "x" * 9_000])
async def test_a_traceparent_that_cannot_be_read_is_none(parent: str) -> None:
    """W3C Trace Context, "traceparent": what cannot be parsed is ignored, and a trace of our own begins."""
    async with Collector() as collector:
        async with traced(collector):
            with telemetry.span("request", parent=parent):
                pass
            await collector.told()
        (span,) = collector.spans
        assert span.parent_span_id == b""


async def test_work_without_end_leaves_the_request_that_began_it() -> None:
    """A worker's later orders are no part of the request in which it happened to be started."""
    async with Collector() as collector:
        async with traced(collector):

            async def worker() -> str:
                telemetry.forget_request()
                with telemetry.span("replication order"):
                    return telemetry.request_id()

            with telemetry.identified("began"), telemetry.span("request"):
                async with asyncio.TaskGroup() as group:
                    working = group.create_task(worker(), name="worker")
                assert telemetry.request_id() == "began"
            await collector.told()
        (order,) = collector.named("replication order")
        assert order.parent_span_id == b""
        assert working.result() != "began"


async def test_spans_that_a_collector_refuses_are_counted() -> None:
    """`mirror_trace_spans_dropped`."""
    before = dropped()
    async with Collector() as collector:
        collector.status = 400
        async with traced(collector):
            for _ in range(3):
                with telemetry.span("request"):
                    pass
            await collector.told()
    assert dropped() - before == 3


async def test_a_collector_that_hangs_costs_spans_and_no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """STYLE: every buffer has a limit. The loop runs on while the queue is full: nothing here awaits."""
    monkeypatch.setattr(otlp, "SPANS_MAX", 8)
    monkeypatch.setattr(otlp, "BATCH_MAX", 1)
    before = dropped()
    async with Collector() as collector:
        collector.may_answer.clear()
        async with traced(collector):
            with telemetry.span("request"):
                pass
            await asyncio.wait_for(collector.asked.wait(), 10)
            for _ in range(20):
                with telemetry.span("request"):
                    pass
            assert dropped() - before == 12
            collector.may_answer.set()
            await collector.told()
        assert len(collector.spans) == 9
