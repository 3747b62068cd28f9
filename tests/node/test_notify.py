"""What a service manager is told, by a real node to a real socket."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from manager import Manager
from processes import serving

from mirror.node.notify import Notifier

WATCHDOG_S = 0.4


async def test_a_service_manager_is_told_all_that_it_waits_for(tmp_path: Path) -> None:
    """sd_notify(3): READY, WATCHDOG, RELOADING with its time and READY again, STOPPING with what it may take."""
    async with Manager(tmp_path / "notify") as manager, serving(tmp_path, before=manager.words(WATCHDOG_S)) as node:
        await manager.heard("READY=1")
        assert manager.messages[0] == ["READY=1", f"STATUS=serving on {node.address}"]
        await manager.heard("WATCHDOG=1", times=2)
        node.signal(signal.SIGHUP)
        await manager.heard("READY=1", times=2)
        (reloading,) = [message for message in manager.messages if "RELOADING=1" in message]
        assert reloading[1].partition("=")[0] == "MONOTONIC_USEC"
        assert int(reloading[1].partition("=")[2]) > 0
        node.signal(signal.SIGTERM)
        await manager.heard("STOPPING=1")
        assert await node.ended() == 0
        assert manager.messages[-1][:2] == ["STOPPING=1", "STATUS=stopping"]
        within_s = int(manager.messages[-1][2].removeprefix("EXTEND_TIMEOUT_USEC=")) / 1e6
        assert within_s > 30, "the time that [server] drain_s gives to transfers"


async def test_nobody_says_alive_while_the_self_check_fails(tmp_path: Path) -> None:
    """RELIABILITY section 6: the watchdog is told after a real self-check only; here nothing can be written.

    The manager's socket is an abstract one, as it is where the service has no common directory with it.
    """
    async with (
        Manager(f"@mirror-{os.getpid()}") as manager,
        serving(tmp_path, before=manager.words(WATCHDOG_S)) as node,
    ):
        await manager.heard("WATCHDOG=1")
        writes = tmp_path / "store" / "stage" / "writes"
        shutil.rmtree(writes)
        await node.logged("self-check failed")
        beats = manager.count("WATCHDOG=1")
        failed, serves = "disk: the disk cannot be written", f"STATUS=serving on {node.address}"
        await manager.heard(f"{serves}; {failed}")
        status, body = await node.fetch("/readyz")
        assert (status, body) == (503, f"{failed}\n".encode())
        node.events[:] = [event for event in node.events if event["event"] == "serving"]
        await node.logged("self-check failed")
        assert manager.count("WATCHDOG=1") == beats
        writes.mkdir()
        await manager.heard("WATCHDOG=1", times=beats + 1)
        await manager.heard(serves)
        assert (await node.fetch("/readyz"))[0] == 200


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000"}, 30.0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, 0.0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 0.0),
        ({}, 0.0),
    ],
)
def test_who_is_watched_is_said_by_the_environment(environment: dict[str, str], watchdog_s: float) -> None:
    """sd_watchdog_enabled(3): WATCHDOG_PID tells whose the beat is."""
    assert Notifier(environment, 7).watchdog_s == watchdog_s


async def test_a_node_that_cannot_tell_goes_on(tmp_path: Path, events: list[Any]) -> None:
    """sd_notify(3): its errors are nobody's end."""
    await Notifier({"NOTIFY_SOCKET": f"{tmp_path}/nobody"}, 7).ready("serving")
    (event,) = events
    assert (event["event"], event["told"]) == ("service manager not told", "READY=1")


async def test_a_manager_without_room_is_waited_for_and_not_for_long(
    tmp_path: Path, events: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN section 5: every wait has a timeout; unix(7): a datagram to a full queue waits."""
    monkeypatch.setattr("mirror.node.notify.SEND_S_MAX", 0.1)
    async with Manager(tmp_path / "notify") as manager:
        notifier = Notifier({"NOTIFY_SOCKET": manager.name}, 7)
        manager.look_away()
        while not events:
            await notifier.alive()
        assert events[0]["event"] == "service manager not told"
        manager.look()
        await notifier.status("two\nlines")
        await manager.heard("STATUS=two lines")
