"""The beat that the service manager waits for: sent after a check that the node does its work, else not.

Source: sd_watchdog_enabled(3). The check is a request to the administration socket, which runs the probes: the loop
turns, a connection is accepted, the database, the index and the disk answer. Not to the sockets of clients, where a
node that has too many of them says no, as it should.
"""

import asyncio
from pathlib import Path
from typing import Final

from mirror import telemetry
from mirror.node.notify import Notifier
from mirror.web.admin_socket import near

CHECK_S_MAX: Final = 10.0  # two probes' time: one that was asked for just before us, and ours
ANSWER_BYTES_MAX: Final = 16 * 1024
BEATS: Final = 2  # in the manager's time, as sd_watchdog_enabled(3) recommends
TRIES: Final = 4  # after a check that failed, in the time of a beat: one hiccup must not be the end
_REQUEST: Final = b"GET /readyz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"
_OK: Final = b"HTTP/1.1 200 "


async def watch(notifier: Notifier, path: Path, status: str) -> None:
    """Check and tell for as long as the node serves; `path` is its administration socket. Ends where nobody waits."""
    beat_s = notifier.watchdog_s / BEATS
    told = status
    while beat_s:
        is_well, said = await check(path, min(CHECK_S_MAX, beat_s))
        if is_well:
            await notifier.alive()
        else:
            telemetry.log.error("self-check failed", found=said)
        now = f"{status}; {said}" if said else status
        if now != told:
            await notifier.status(now)
            told = now
        await asyncio.sleep(beat_s if is_well else beat_s / TRIES)


async def check(path: Path, within_s: float) -> tuple[bool, str]:
    """Ask the node at `path` whether it is ready; return its word for it, "" when all is well."""
    try:
        async with asyncio.timeout(within_s):
            answer = await _ask(path)
    except TimeoutError:
        return False, f"no answer to a request within {within_s:g} s"
    except OSError as error:
        return False, f"no answer to a request: {error.strerror or error}"
    head, _, body = answer.partition(b"\r\n\r\n")
    said = "; ".join(line for line in body.decode(errors="replace").splitlines() if line != "ok")
    return head.startswith(_OK), said


async def _ask(path: Path) -> bytes:
    with near(path) as address:
        reader, writer = await asyncio.open_unix_connection(address)
    try:
        writer.write(_REQUEST)
        answer = b""
        while len(answer) < ANSWER_BYTES_MAX and (piece := await reader.read(ANSWER_BYTES_MAX)):
            answer += piece
        return answer
    finally:
        writer.close()
