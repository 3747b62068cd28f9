"""Log lines: one event a line on stderr, as JSON or for a person's eyes.

Never: waits for whoever reads stderr, writes a raw control character, the password or query of a URL, or a value that
is named like a secret (RELIABILITY A35). A line that cannot be written in time is dropped and counted.
"""

import atexit
import logging
import os
import re
from collections.abc import Mapping
from queue import Full, Queue
from threading import Thread
from typing import Any, Final, Literal, cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from mirror.telemetry.metrics import LOG_LINES_DROPPED

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["json", "console"]

LINES_MAX: Final = 10_000  # waiting lines; about 5 MiB and several seconds of the busiest access log
VALUE_CHARS_MAX: Final = 2_000  # a longer value is somebody's attack on our disk
TRACE_CHARS_MAX: Final = 20_000  # a traceback is long by nature, and ours
DEPTH_MAX: Final = 4  # deeper values are printed by `repr`
CLOSE_S_MAX: Final = 2.0  # how long the end of the process waits for a reader of stderr
_NEVER_LOGGED: Final = re.compile(r"passw|secret|token|authorization|cookie|credential", re.IGNORECASE)
_URL_SECRETS: Final = re.compile(r"(?<=://)[^/\s@?#]*@|(?<=\?)[^\s#\"'<>]+")
# Controls and lone surrogates, then what is invisible or turns the direction of writing.
_UNPRINTABLE: Final = re.compile(
    r"[^ -~\u00a1-\ud7ff\ue000-\U0010ffff]|[\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)


class LineWriter:
    """Writes lines to a file descriptor from a thread of its own. Has the methods that structlog calls."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: Queue[bytes | None] = Queue(LINES_MAX)
        self._thread = Thread(target=self._write_all, name="log-writer", daemon=True)
        self._thread.start()

    def msg(self, line: bytes | str) -> None:
        """Hand over one line without its end."""
        try:
            self._lines.put_nowait((line.encode() if isinstance(line, str) else line) + b"\n")
        except Full:
            LOG_LINES_DROPPED.inc()

    debug = info = warning = warn = error = critical = fatal = exception = log = msg

    def close(self) -> None:
        """Write what waits, within CLOSE_S_MAX."""
        try:
            self._lines.put(None, timeout=CLOSE_S_MAX)
        except Full:
            return
        self._thread.join(CLOSE_S_MAX)

    def _write_all(self) -> None:
        while (line := self._lines.get()) is not None:
            while line:
                try:
                    line = line[os.write(self._descriptor, line) :]
                except OSError:
                    # Nobody reads stderr any more; the node's work goes on without its log.
                    LOG_LINES_DROPPED.inc()
                    break


class _Foreign(logging.Handler):
    """Turns the records of libraries (aiohttp, asyncio) into events of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(
            record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info
        )


_writers: list[LineWriter] = []


def start_logging(level: LogLevel = "info", form: LogFormat = "json", descriptor: int = 2) -> None:
    """Send every event of `level` and above to `descriptor`, and the warnings of libraries."""
    stop_logging()
    number = logging.getLevelNamesMapping()[level.upper()]
    writer = LineWriter(descriptor)
    _writers.append(writer)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            cleaned,
            _renderer(form),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=False,
    )
    # What libraries say below a warning is about themselves.
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[_Foreign()], force=True)


def change_level(level: LogLevel) -> None:
    """Send events of `level` and above, from now on."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(**{**structlog.get_config(), "wrapper_class": structlog.make_filtering_bound_logger(number)})
    logging.root.setLevel(max(number, logging.WARNING))


@atexit.register
def stop_logging() -> None:
    """Write the lines that wait; events after this have nowhere to go until `start_logging`."""
    while _writers:
        _writers.pop().close()


log: Final = cast("FilteringBoundLogger", structlog.get_logger())


def logger(room: str) -> FilteringBoundLogger:
    """Return the logger of a room of the house, e.g. `upstream.client`."""
    return cast("FilteringBoundLogger", structlog.get_logger(room, room=room))


def _renderer(form: LogFormat) -> Processor:
    return structlog.dev.ConsoleRenderer(colors=os.isatty(2)) if form == "console" else _json


def _json(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    try:
        return orjson.dumps(event)
    except TypeError:
        # An integer beyond 64 bits, say: a log call must never be what fails.
        return orjson.dumps({key: repr(value) for key, value in event.items()})


def cleaned(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape what could forge a line or steer a terminal, cut what is too long, blank what is secret."""
    trace = event.pop("exception", None)
    plain: EventDict = {_text(key, VALUE_CHARS_MAX): _named(key, value) for key, value in event.items()}
    if trace is not None:
        lines = str(trace)[:TRACE_CHARS_MAX].split("\n")
        plain["exception"] = "\n".join(_text(line, VALUE_CHARS_MAX) for line in lines)
    return plain


def _named(key: str, value: Any, depth: int = 0) -> Any:
    return "***" if value and _NEVER_LOGGED.search(key) else _value(value, depth)


def _value(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping) and depth < DEPTH_MAX:
        return {_text(str(key), VALUE_CHARS_MAX): _named(str(key), item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth < DEPTH_MAX:
        return [_value(item, depth + 1) for item in value]
    return _text(str(value), VALUE_CHARS_MAX)


def _text(text: str, chars_max: int) -> str:
    if len(text) > chars_max:
        text = text[:chars_max] + "..."
    if "://" in text:
        text = _URL_SECRETS.sub("***", text)
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")
