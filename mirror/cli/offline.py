"""`mirror offline`: what is servable with no network, image by image and platform by platform."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click
from rich.filesize import decimal

from mirror.cli.desk import Desk, administering, moment
from mirror.cli.options import public_option
from mirror.cli.socket import Administrator

TITLES: Final = ("IMAGE", "SERVABLE", "PLATFORM", "HERE", "MISSING", "UNTIL")

Answer = Mapping[str, Any]


@click.command(short_help="What is servable with no network.")
@click.argument("name", required=False, default="", metavar="[NAME]")
@click.option("--platform", "-p", default="", help="Only this one, as linux/amd64.")
@public_option
@administering
def offline(desk: Desk, name: str, platform: str, public: bool) -> None:
    """Say of each image, and each of its platforms, whether it is servable with no network, and what it lacks.

    NAME is that of a repository as clients pull it, or a pattern with *. An image is servable when one of its
    platforms is whole; until when its tag is served without being checked is told where that ends. Exit 1 if one is
    not servable.

    \b
    Examples:
      mirror offline
      mirror offline 'docker.io/library/*' --platform linux/arm64
      mirror offline docker.io/library/alpine --json
    """
    images = desk.ask(lambda node: _all(node, name=name, platform=platform, public=public))
    images.sort(key=lambda one: one["image"])
    rows = [row for one in images for row in _rows(one)]
    desk.table({"images": images}, TITLES, rows)
    sys.exit(0 if all(one["servable"] for one in images) else 1)


async def _all(node: Administrator, **given: object) -> list[Any]:
    found: list[Any] = []
    after: object = None
    while True:
        page = await node.own("view", "offline", after=after, **given)
        found += page["images"]
        after = page["after"]
        if after is None:
            return found


def _rows(one: Answer) -> Iterator[Sequence[object]]:
    """Show an image: a line for each platform."""
    said = "yes" if one["servable"] else f"no: {one['reason']}"
    until = moment(one["until"])
    for part in one["parts"] or [None]:
        yield one["image"], said, *(part_row(part) if part else ("", "", "")), until


def part_row(part: Answer) -> Sequence[object]:
    """Show a platform: its name, the bytes that are here, and what is missing."""
    if part["missingBytes"] is None:
        missing = "all"
    else:
        missing = f"{decimal(part['missingBytes'])} in {part['missing']} blobs" if part["missing"] else "nothing"
    return part["platform"] or "-", decimal(part["bytes"]), missing
