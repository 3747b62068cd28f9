"""`mirror sync` and `mirror warm`: what is fetched from upstreams before anybody asks."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import click
from rich.filesize import decimal

from mirror.cli.desk import Desk, administering, moment, plain
from mirror.cli.progress import Bars

RAN: Final = ("NAME", "IMAGES", "FETCHED", "BYTES", "DELETED", "FAILED")
PLANNED: Final = ("IMAGE", "STATE", "BYTES")
STATUS: Final = ("NAME", "EVERY", "LAST", "LAST SUCCESS", *RAN[1:], "NOW")
_MIB: Final = 1024 * 1024

Answer = Mapping[str, Any]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def sync() -> None:
    """What the configuration's [[sync]] tables have the node fetch before anybody asks.

    \b
    Examples:
      mirror sync plan                  what a run would fetch and delete now, and how many bytes
      mirror sync run base-images       run one now
      mirror sync status
    """


@sync.command("run")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@administering
def run(desk: Desk, names: tuple[str, ...]) -> None:
    """Run these rules now, or all, whatever their schedule; exit 1 if an image failed.

    A running node does the work, and goes on if you leave.

    \b
    Examples:
      mirror sync run
      mirror sync run base-images --json
    """
    _ran(desk, _follow(desk, "run", names=names))


@sync.command("plan")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@administering
def plan(desk: Desk, names: tuple[str, ...]) -> None:
    """Say of each image what a run would do: new, changed, parts (some are missing), same, gone (deleted here).

    Nothing is fetched but manifests, and nothing is kept. Exit 1 if something cannot be found.

    \b
    Examples:
      mirror sync plan
      mirror sync plan base-images
    """
    found = _follow(desk, "plan", names=names)
    rows = [(one["image"], one["state"], one["bytes"]) for one in found["images"]]
    images, moved, count, deleted = (_sum(found, key) for key in ("images", "moved", "bytes", "deleted"))
    desk.table(found, PLANNED, [*rows, ("TOTAL", f"{moved + deleted} of {images}", count)])
    _end(found["outcomes"])


@sync.command("status")
@administering
def status(desk: Desk) -> None:
    """Say of each rule when it ran last, what came of that, and whether it is running.

    \b
    Example:
      mirror sync status
    """
    found = desk.ask(lambda node: node.own("syncs", "status"))
    desk.table(found, STATUS, map(_status, found["syncs"]))


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "--platform",
    "-p",
    "platforms",
    multiple=True,
    help="Only this one, as linux/amd64; may be repeated.",
)
@click.option("--no-referrers", is_flag=True, help="Leave signatures, SBOMs and attestations out.")
@administering
def warm(desk: Desk, images: tuple[str, ...], platforms: tuple[str, ...], no_referrers: bool) -> None:
    """Fetch images of upstreams before anybody asks, after what clients ask for; exit 1 if one failed.

    Names are those by which clients of the node's own registry pull.

    \b
    Examples:
      mirror warm docker.io/library/alpine:3.20
      mirror warm quay.io/team/app@sha256:... --platform linux/arm64
    """
    _ran(desk, _follow(desk, "warm", images=images, platforms=platforms, referrers=not no_referrers))


def _follow(desk: Desk, operation: str, **given: object) -> Answer:
    """Ask for something that takes its time, and show how it goes."""
    with Bars() as bars:
        screen = Screen(bars, quiet=desk.as_json or operation == "plan")
        return desk.ask(lambda node: node.follow("syncs", operation, screen.hear, **given))


class Screen:
    """Shows events: a bar for the images and one for the bytes of each rule, and a line for each image that came."""

    def __init__(self, bars: Bars, *, quiet: bool) -> None:
        self._bars = bars
        self._quiet = quiet

    def hear(self, event: Answer) -> None:
        """Show an event."""
        if event["event"] == "moving":
            self._bars.progress(f"{event['rule']}: MiB", event["bytes"] // _MIB, event["total"] // _MIB)
            return
        self._bars.progress(f"{event['rule']}: images", event["done"], event["total"])
        if not self._quiet and event["state"] not in ("same", "failed"):
            self._bars.report(plain(f"{event['image']} {event['state']}, {decimal(event['bytes'])}"))


def _sum(found: Answer, key: str) -> int:
    return sum(one[key] for one in found["outcomes"])


def _ran(desk: Desk, found: Answer) -> None:
    desk.table(found, RAN, [(one["rule"], *_counts(one)) for one in found["outcomes"]])
    _end(found["outcomes"])


def _status(one: Answer) -> Sequence[object]:
    last, running = one["last"], one["running"]
    now = "" if running is None else f"running: {running['images']} images, {running['bytes']} bytes"
    every = f"{one['everyS']:g} s" if one["everyS"] else "on demand"
    ended, succeeded = (moment(last[key]) if last[key] else "never" for key in ("endedAt", "succeededAt"))
    return one["name"], every, ended, succeeded, *_counts(last), now


def _counts(outcome: Answer) -> Sequence[object]:
    return [outcome[key] for key in ("images", "moved", "bytes", "deleted", "failed")]


def _end(outcomes: Iterable[Answer]) -> None:
    """Say what failed, and end with exit code 1 if anything did."""
    failed = 0
    for outcome in outcomes:
        failed += outcome["failed"]
        for one in outcome["failures"]:
            click.echo(plain(f"mirror: {one['image']}: {one['reason']}"), err=True)
        if outcome["failed"] > len(outcome["failures"]):
            click.echo(f"mirror: {outcome['failed'] - len(outcome['failures'])} more failed", err=True)
    sys.exit(1 if failed else 0)
