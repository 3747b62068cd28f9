"""What every test runs under: the node's own event loop, and an alarm on anything that blocks it."""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import aiofastnet
import pytest
import structlog
import uvloop
from blockbuster import BlockBuster
from hypothesis import HealthCheck, settings

from mirror import telemetry

# Start and stop may block: nothing is served then. Each place is named, so that a new one is a decision, no accident.
MAY_BLOCK = (
    ("mirror/store/store.py", "open"),
    ("mirror/store/database.py", "_bring_up_to_date"),
    ("mirror/node/certificate.py", "tls_context"),
)


# One object for the whole run: to pytest a new one is a new parameter, and fixtures of wider scope would start anew.
# How long a machine takes is no property of what is tested.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

TOGETHER = ("clients", "suites")  # folders whose tests share daemons
LOOPS = {"uvloop": aiofastnet.loop_factory(uvloop.new_event_loop)}


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], Any]]:
    """Run async tests on the loop that `mirror serve` runs on, not on one that behaves differently."""
    return LOOPS


@pytest.fixture(scope="session", autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    """DESIGN section 5: a blocking call made by `mirror` inside a running loop fails the test that made it."""
    alarm = BlockBuster("mirror")
    for function in alarm.functions.values():
        for filename, name in MAY_BLOCK:
            function.can_block_in(filename, name)
    alarm.activate()
    yield
    alarm.deactivate()


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """The log events of the test, as dictionaries."""
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as captured:
        yield captured


@pytest.fixture
def logging_of_its_own() -> Iterator[None]:
    """For tests that start logging as a process does: afterwards it is as if they had not."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    telemetry.stop_logging()
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command that is run in this process sets up logging for itself: the next test must not inherit it."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of a file stay together, and those of all clients: daemons are started once."""
    for item in items:
        folder = item.path.parent.name
        item.add_marker(pytest.mark.xdist_group(folder if folder in TOGETHER else str(item.path)))
