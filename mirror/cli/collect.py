"""`mirror collect`: removes now what nothing names any more, or says what that would be."""

import click

from mirror.cli.desk import Desk, administering


@click.command(short_help="Remove blobs that nothing names any more.")
@click.option("--dry-run", "-n", is_flag=True, help="Only say how many blobs and bytes would go.")
@administering
def collect(desk: Desk, dry_run: bool) -> None:
    """Remove what deleted images leave behind, without waiting for the node to do it by itself.

    What was deleted, or told to a client, within the last hour waits: a push may be about to name it.

    \b
    Examples:
      mirror collect --dry-run
      mirror collect --json
    """
    found = desk.ask(lambda node: node.own("collection", "forecast" if dry_run else "collect"))
    verb = "would go" if dry_run else "went"
    desk.say(found, f"{verb}: {found['blobs']} blobs, {found['bytes']} bytes; waiting: {found['waiting']} blobs")
