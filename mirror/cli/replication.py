"""`mirror replication`: how far the registries that images go to are behind."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click

from mirror.cli.desk import Desk, administering, moment

LOOK_S: Final = 1.0  # between two looks of --watch
PLACES: Final = ("REGION", "ACCOUNT", "WAITING", "REFUSED", "OLDEST")
REFUSED: Final = ("TO", "IMAGE", "TRIES", "WHY")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def replication() -> None:
    """What goes to other regions and accounts.

    \b
    Examples:
      mirror replication status
      mirror replication status --watch
    """


@replication.command("status")
@click.option("--watch", is_flag=True, help="Look again each second, until interrupted.")
@administering
def status(desk: Desk, watch: bool) -> None:
    """Say of each place how many images are on their way, since when, and which ones it refuses.

    \b
    Examples:
      mirror replication status
      mirror replication status --json
    """
    for found in _looks(desk, watch=watch):
        if watch and not desk.as_json:
            click.clear()
        if desk.as_json:
            desk.table(found, (), ())
            continue
        desk.table(found, PLACES, map(_place, found["places"]))
        if found["refused"]:
            click.echo()
            desk.table(found, REFUSED, map(_refused, found["refused"]))


def _looks(desk: Desk, *, watch: bool) -> Iterator[Mapping[str, Any]]:
    while True:
        yield desk.ask(lambda node: node.own("replications", "status"))
        if not watch:
            return
        time.sleep(LOOK_S)


def _place(one: Mapping[str, Any]) -> Sequence[object]:
    return one["region"], one["account"], one["waiting"], one["failed"], moment(one["oldestAt"])


def _refused(one: Mapping[str, Any]) -> Sequence[object]:
    named = f":{one['tag']}" if one["tag"] else f"@{one['digest']}"
    why = f"{one['failure']}: {one['reason']}"
    return f"{one['account']} in {one['region']}", f"{one['repository']}{named}", one["tries"], why
