"""Traces: spans of the walks, for those who have a collector. Without one a span costs one attribute test.

What sends them (`otlp.py`) needs the packages of the extra `traces` and is imported where tracing starts, nowhere
else. A trace is the node's own affair: no upstream and no other node is told of it.
"""

import atexit
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol


class Span(Protocol):
    """One step of a walk while it lasts. Values are texts and numbers; of anything else its `str` is kept."""

    def note(self, **attributes: object) -> None:
        """Keep what has turned out; None is left out."""
        ...

    def failed(self, reason: str) -> None:
        """Mark the step as failed though nothing is raised."""
        ...


class Tracer(Protocol):
    """Makes spans and sends them. `begin` takes the W3C `traceparent` of who asked, "" for none."""

    def begin(self, name: str, parent: str, attributes: dict[str, object]) -> AbstractContextManager[Span]: ...

    def event(self, name: str, attributes: dict[str, object]) -> None: ...

    def forget(self) -> None: ...

    def close(self) -> None: ...


class _Untold:
    """What a span is while nobody traces."""

    def note(self, **attributes: object) -> None: ...

    def failed(self, reason: str) -> None: ...


class _Traces:
    """The process's tracer; None = off."""

    __slots__ = ("tracer",)

    def __init__(self) -> None:
        self.tracer: Tracer | None = None


_traces: Final = _Traces()
_UNTOLD: Final = nullcontext(_Untold())


def span(name: str, *, parent: str = "", **attributes: object) -> AbstractContextManager[Span]:
    """Make what is done inside a span of this name, a child of the one that it is done in.

    An exception that leaves it marks it as failed, by its type alone.
    """
    tracer = _traces.tracer
    return _UNTOLD if tracer is None else tracer.begin(name, parent, attributes)


def span_event(name: str, **attributes: object) -> None:
    """Note that something happened, in the span of whoever calls."""
    tracer = _traces.tracer
    if tracer is not None:
        tracer.event(name, attributes)


def forget_span() -> None:
    """Let the task that calls go on outside of any span."""
    tracer = _traces.tracer
    if tracer is not None:
        tracer.forget()


def can_trace() -> bool:
    """Tell whether the packages of the extra `traces` are here."""
    try:
        import mirror.telemetry.otlp  # noqa: F401, PLC0415 - an extra: it may be absent, and costs memory
    except ImportError:
        return False
    return True


def start_tracing(endpoint: str, sample: float, version: str) -> None:
    """Send spans to a collector at `endpoint` (OTLP/HTTP), of a `sample` (0..1) of all walks.

    Blocking: it is for before the loop runs. Raises ImportError.
    """
    from mirror.telemetry.otlp import OtlpTracer  # noqa: PLC0415 - an extra: it may be absent, and costs memory

    stop_tracing()
    _traces.tracer = OtlpTracer(endpoint, sample, version)


@atexit.register
def stop_tracing() -> None:
    """Send the spans that wait, within a limit; blocking. Spans after this are nobody's."""
    tracer, _traces.tracer = _traces.tracer, None
    if tracer is not None:
        tracer.close()
