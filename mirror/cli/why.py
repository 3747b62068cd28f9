"""`mirror image why`: where an image came from, how fresh it is, who uses it, what keeps it."""

from collections.abc import Iterator, Mapping
from typing import Any

import click
from rich.filesize import decimal

from mirror.cli.desk import Desk, administering, moment
from mirror.cli.offline import part_row
from mirror.cli.options import public_option

Answer = Mapping[str, Any]


@click.command("why")
@click.argument("image", metavar="NAME[:TAG|@DIGEST]")
@public_option
@administering
def why(desk: Desk, image: str, public: bool) -> None:
    """Say of an image where it came from, how fresh it is, when it was pulled, what keeps it, what of it is here.

    \b
    Examples:
      mirror image why docker.io/library/alpine:3.20
      mirror image why team/app@sha256:...
    """
    found = desk.ask(lambda node: node.own("view", "why", image=image, public=public))
    desk.table(found, ("KEY", "VALUE"), _facts(found))


def _facts(found: Answer) -> Iterator[tuple[str, object]]:
    yield "image", found["image"]
    yield "digest", found["digest"]
    yield "type", found["artifactType"] or found["mediaType"]
    yield "came", f"{moment(found['cameAt'])}, {_origin(found)}"
    if found["freshness"] is not None:
        yield from _freshness(found["freshness"])
    yield "pulled", moment(found["pulledAt"]) or "never"
    if found["status"] != "ACTIVE":
        yield "status", found["status"].lower()
    yield "kept by", "; ".join(found["keptBy"]) or "nothing but its digest"
    if found["policyDueAt"] is not None:
        yield "lifecycle policy", f"is run {moment(found['policyDueAt'])}"
    yield "referrers", found["referrers"]
    yield "bytes here", decimal(sum(part["bytes"] for part in found["parts"]))
    for part in found["parts"]:
        platform, here, missing = part_row(part)
        yield f"platform {platform}", f"whole, {here}" if part["isWhole"] else f"{here} here, missing: {missing}"


def _origin(found: Answer) -> str:
    if found["way"] == "fetched":
        origin = found["origin"] or f"{found['upstream']}, which is not configured any more"
        return f"fetched from {origin}"
    return f"replicated from {found['origin']}" if found["way"] == "replicated" else "pushed here"


def _freshness(found: Answer) -> Iterator[tuple[str, object]]:
    yield "checked", f"{moment(found['checkedAt'])}: {found['state']}"
    yield "checked again", f"from {moment(found['dueAt'])} on" if found["dueAt"] else "never"
    if found["servedUntil"]:
        yield "served unchecked", f"until {moment(found['servedUntil'])}"
