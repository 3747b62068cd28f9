"""Log lines: readable by machines, harmless to terminals, silent about secrets."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from mirror import telemetry
from mirror.telemetry import logs

pytestmark = pytest.mark.usefixtures("logging_of_its_own")


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Callable[..., bytes]]:
    """Start logging into a file; the call ends it and returns the file's bytes."""
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    telemetry.start_logging("info", "json", descriptor)

    def end() -> bytes:
        telemetry.stop_logging()
        return (tmp_path / "log").read_bytes()

    yield end
    telemetry.stop_logging()
    os.close(descriptor)


def test_an_event_is_one_json_line(written: Callable[..., bytes]) -> None:
    """Issue, section 2: logs as structured lines."""
    telemetry.logger("store.files").info("published", digest="sha256:ab", size=3)
    (line,) = written().splitlines()
    event = orjson.loads(line)
    assert event.pop("at").endswith("Z")
    assert event == {"event": "published", "room": "store.files", "level": "info", "digest": "sha256:ab", "size": 3}


def test_events_below_the_level_are_not_written(written: Callable[..., bytes]) -> None:
    telemetry.logger("x").debug("quiet")
    assert written() == b""


def test_a_librarys_record_becomes_an_event(written: Callable[..., bytes]) -> None:
    logging.getLogger("aiohttp.server").error("Error handling %s", "request")
    event = orjson.loads(written())
    assert (event["event"], event["logger"], event["level"]) == ("Error handling request", "aiohttp.server", "error")


def test_an_exception_stays_inside_its_line(written: Callable[..., bytes]) -> None:
    try:
        raise ValueError("bad\x1b[31m\nforged")
    except ValueError:
        telemetry.logger("x").exception("failed")
    (line,) = written().splitlines()
    assert b"\x1b" not in line
    assert "ValueError: bad\\x1b[31m" in orjson.loads(line)["exception"]


@pytest.mark.parametrize(
    "text",
    ["a\nb", "a\r\nb", "a\x00b", "a\x1b[2Jb", "a\x7fb", "a\x85b", "a\u2028b", "a\u202eb", "a\ud800b", "a\u200bb"],
)
def test_controls_are_escaped_wherever_they_stand(text: str) -> None:
    """RELIABILITY A35: no log injection; lone surrogates are what aiohttp makes of bad header bytes."""
    event = logs.cleaned(None, "info", {"event": text, "agent": text, "list": [text], "map": {"inner": text}})
    for found in (event["event"], event["agent"], event["list"][0], event["map"]["inner"]):
        assert found.isprintable()
        assert found[0] + found[-1] == "ab"
        assert "\\" in found


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://user:pw@host/v2/", "https://***host/v2/"),
        ("GET https://cdn/x?X-Amz-Signature=abc&y=1 failed", "GET https://cdn/x?*** failed"),
        ("https://host/v2/a@sha256:1", "https://host/v2/a@sha256:1"),
    ],
)
def test_the_secrets_of_a_url_are_cut(text: str, left: str) -> None:
    """RELIABILITY A35: URL user-info and query tokens never reach the log."""
    assert logs.cleaned(None, "info", {"event": text})["event"] == left


@pytest.mark.parametrize("key", ["password", "Authorization", "access_token", "Set-Cookie", "client_secret"])
def test_a_value_named_like_a_secret_is_blank(key: str) -> None:
    assert logs.cleaned(None, "info", {key: "s3cr3t", "headers": {key: "s3cr3t"}}) == {
        key: "***",
        "headers": {key: "***"},
    }


def test_a_long_value_is_cut() -> None:
    event: dict[str, Any] = {"event": "x" * 100_000}
    assert len(logs.cleaned(None, "info", event)["event"]) <= logs.VALUE_CHARS_MAX + 3


def test_a_value_that_json_cannot_hold_does_not_fail_the_caller(written: Callable[..., bytes]) -> None:
    telemetry.logger("x").info("odd", number=2**70, path=Path("a"))
    assert orjson.loads(written())["number"] == str(2**70)


def test_a_reader_that_does_not_read_stops_nobody() -> None:
    """DESIGN section 5: every queue has a limit; a full one drops lines and counts them."""
    reading, writing = os.pipe()
    writer = logs.LineWriter(writing)
    dropped = logs.LOG_LINES_DROPPED._value.get()
    for _ in range(logs.LINES_MAX + 2_000):
        writer.msg(b"x" * 1_000)
    assert logs.LOG_LINES_DROPPED._value.get() > dropped
    os.close(reading)  # the writer's next attempt fails with EPIPE and it drains
    writer.close()
    os.close(writing)


def test_the_console_form_is_for_eyes(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    telemetry.start_logging("info", "console", descriptor)
    telemetry.logger("node").info("listening", address="127.0.0.1:5000")
    telemetry.stop_logging()
    assert b"listening" in (tmp_path / "log").read_bytes()
    os.close(descriptor)
