"""`mirror verify`: holds every stored byte against its digest, with a running node or without."""

import sys
from collections.abc import Mapping
from typing import Any, Final

import click

from mirror.cli.desk import Desk, administering, plain
from mirror.cli.progress import Bars

_MIB: Final = 1024 * 1024
FAULTS_MAX: Final = 10_000  # repeated in the JSON answer; each is told as it is found
_ENDINGS: Final[Mapping[str, str]] = {
    "": "",
    "harmless": ", harmless",
    "healed": ", repaired",
    "missed": ", set aside: the next pull fetches it",
    "lost": ", LOST: a repository of our own needs it, and nobody has it",
}


@click.command(short_help="Compare every stored byte with its digest.")
@click.option("--repair", is_flag=True, help="Set damaged files aside and heal them, from upstreams and other regions.")
@administering
def verify(desk: Desk, repair: bool) -> None:
    """Read every stored byte and compare it with its digest; exit 1 if anything is wrong, and stays wrong.

    A running node does the work while it serves.

    \b
    Examples:
      mirror verify --data /var/lib/mirror
      mirror verify --repair --json
    """
    with Bars() as bars:
        screen = Screen(bars, quiet=desk.as_json)
        found = desk.ask(lambda node: node.follow("store", "verify", screen.hear, repair=repair))
        screen.move(found)
        bars.report(_summary(found, repair=repair))
    if desk.as_json:
        desk.say({**found, "faults": screen.faults}, "")
    sys.exit(1 if found["failure"] or found["lost"] or (found["harmful"] and not repair) else 0)


class Screen:
    """Shows events: a bar for the blobs, one for the bytes, and a line for each fault."""

    def __init__(self, bars: Bars, *, quiet: bool) -> None:
        self.faults: list[Mapping[str, Any]] = []
        self._bars = bars
        self._quiet = quiet

    def hear(self, event: Mapping[str, Any]) -> None:
        """Show an event."""
        if event["event"] == "moving":
            self.move(event)
            return
        if len(self.faults) < FAULTS_MAX:
            self.faults.append({key: value for key, value in event.items() if key != "event"})
        if not self._quiet:
            self._bars.report(plain(f"{event['digest']}: {event['fault']}{_ENDINGS[event['outcome']]}"))

    def move(self, counts: Mapping[str, Any]) -> None:
        """Show how far it is."""
        self._bars.progress("blobs", counts["blobs"], max(counts["total"], counts["blobs"]))
        self._bars.progress("MiB", counts["bytes"] // _MIB, 0)


def _summary(found: Mapping[str, Any], *, repair: bool) -> str:
    if found["failure"]:
        return plain(f"not finished: {found['failure']}")
    faults, lost = found["harmful"], found["lost"]
    said = f"{faults} fault{'' if faults == 1 else 's'}"
    if not repair or not faults:
        return said
    return f"{said}, {faults - lost} repaired, {lost} lost" if lost else f"{said} repaired"
