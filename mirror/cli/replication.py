"""`mirror replication`: how far the registries that images go to are behind, and what is sent there by hand."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mirror.cli.desk import Desk, administering, moment, plain

LOOK_S: Final = 1.0  # between two looks of --watch
REFUSED_SHOWN: Final = 10  # refused images below the bars
PLACES: Final = ("PLACE", "ACCOUNT", "DONE", "WAITING", "REFUSED", "OLDEST")
REFUSED: Final = ("TO", "IMAGE", "TRIES", "WHY")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def replication() -> None:
    """What goes to other regions, accounts and registries.

    \b
    Examples:
      mirror replication status
      mirror replication status --watch
      mirror replication backfill backup
    """


@replication.command("status")
@click.option("--watch", is_flag=True, help="Look again each second, until interrupted.")
@administering
def status(desk: Desk, watch: bool) -> None:
    """Say of each place how many images are there and on their way, since when, and which ones it refuses.

    \b
    Examples:
      mirror replication status
      mirror replication status --json
    """
    if watch and sys.stdout.isatty() and not desk.as_json:
        _watch(desk)
        return
    for found in _looks(desk, watch=watch):
        if desk.as_json:
            desk.table(found, (), ())
            continue
        desk.table(found, PLACES, map(_place, found["places"]))
        if found["refused"]:
            click.echo()
            desk.table(found, REFUSED, map(_refused, found["refused"]))


@replication.command("backfill")
@click.argument("destination")
@administering
def backfill(desk: Desk, destination: str) -> None:
    """Send what is here already to a [[destination]] of the configuration; what is there costs a look only.

    \b
    Example:
      mirror replication backfill backup
    """
    found = desk.ask(lambda node: node.own("replications", "backfill", destination=destination))
    desk.say(found, f"on their way: {found['images']}; mirror replication status --watch tells how far")


def _watch(desk: Desk) -> None:
    """Show bars until interrupted."""
    with Live(console=Console(), auto_refresh=False) as live:
        for found in _looks(desk, watch=True):
            live.update(_bars(found), refresh=True)


def _bars(found: Mapping[str, Any]) -> Group:
    table = Table(*PLACES, "", box=None, pad_edge=False, header_style="bold")
    for one in found["places"]:
        done = one["complete"]
        bar = ProgressBar(total=max(1, done + one["waiting"]), completed=done or not one["waiting"], width=30)
        table.add_row(*(plain(str(cell)) for cell in _place(one)), bar)
    refused = (_refused(one) for one in found["refused"][:REFUSED_SHOWN])
    return Group(table, *(Text(plain("  ".join(map(str, row))), style="red") for row in refused))


def _looks(desk: Desk, *, watch: bool) -> Iterator[Mapping[str, Any]]:
    while True:
        yield desk.ask(lambda node: node.own("replications", "status"))
        if not watch:
            return
        time.sleep(LOOK_S)


def _place(one: Mapping[str, Any]) -> Sequence[object]:
    return one["region"], one["account"], one["complete"], one["waiting"], one["failed"], moment(one["oldestAt"])


def _refused(one: Mapping[str, Any]) -> Sequence[object]:
    named = f":{one['tag']}" if one["tag"] else f"@{one['digest']}"
    why = f"{one['failure']}: {one['reason']}"
    to = f"{one['account']} in {one['region']}" if one["account"] else one["region"]
    return to, f"{one['repository']}{named}", one["tries"], why
