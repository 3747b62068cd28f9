"""`mirror purge`: forgets what was cached under a name, so that the next pull fetches it."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
from rich.filesize import decimal

from mirror.cli.desk import Desk, administering, is_terminal, plain
from mirror.cli.image import read_reference

TITLES: Final = ("REPOSITORY", "TAGS", "MANIFESTS", "BLOBS", "BYTES")

Answer = Mapping[str, Any]


@click.command(short_help="Forget what was cached, so that the next pull fetches it.")
@click.argument("name", metavar="NAME[:TAG|@DIGEST]")
@click.option("--dry-run", "-n", is_flag=True, help="Only say what would go.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@administering
def purge(desk: Desk, name: str, dry_run: bool, yes: bool) -> None:
    """Forget what upstreams gave: a tag and the image with its last one, an image, or all of what NAME means.

    NAME is that of a repository as clients pull it, or a pattern with *. What was pushed here is never purged. Bytes
    go later, and only where nothing else names them.

    \b
    Examples:
      mirror purge docker.io/library/alpine:3.20
      mirror purge quay.io/team/app --dry-run
      mirror purge 'docker.io/*' --yes
    """
    repository, image_id = read_reference(name)
    given = {"name": repository, "reference": image_id.get("imageDigest", image_id.get("imageTag", ""))}
    if not dry_run and not yes:
        _confirm(name, desk.ask(lambda node: node.own("view", "forecast", **given)))
    done = desk.ask(lambda node: node.own("view", "forecast" if dry_run else "purge", **given))
    desk.table(done, TITLES, map(_row, done["repositories"]))
    if not done["repositories"]:
        click.echo(plain(f"mirror: nothing is cached as {name}"), err=True)
    if not done["isOver"]:
        click.echo("mirror: time was up before all had been looked at: there is more", err=True)
        sys.exit(1)


def _confirm(name: str, found: Answer) -> None:
    """Ask whether to go on; leave where nobody wants to."""
    if not is_terminal(sys.stdin):
        raise click.UsageError("there is no terminal to ask at: --yes purges without asking")
    tags, manifests, count = (sum(one[key] for one in found["repositories"]) for key in ("tags", "manifests", "bytes"))
    said = f"{tags} tags and {manifests} manifests of {len(found['repositories'])} repositories, {decimal(count)}"
    click.confirm(plain(f"{name}: forget {said}?"), abort=True, err=True)


def _row(one: Answer) -> Sequence[object]:
    return [one[key] for key in ("repository", "tags", "manifests", "blobs", "bytes")]
