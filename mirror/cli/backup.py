"""`mirror backup` and `mirror restore`: all that a node holds, to a directory and back."""

import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec
from rich.filesize import decimal

from mirror import telemetry
from mirror.cli.desk import Desk, plain
from mirror.cli.failures import said_plainly
from mirror.cli.options import config_option, data_option
from mirror.cli.places import settings_of, store_of
from mirror.cli.progress import Bars
from mirror.cli.socket import Administrator, Answer, Refused
from mirror.oci.digest import Digest

if TYPE_CHECKING:
    from mirror.store.backup import Manifest
    from mirror.store.shelves import Brought

SHOWN_MAX: Final = 20  # missing blobs that are named one by one

copy_option: Final = click.option(
    "--copy", "copied", is_flag=True, help="Copy every file, also where a hard link would do: on the same filesystem."
)


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@copy_option
@click.option("--with-key", is_flag=True, help="Also secrets.key: who has such a backup has every secret of the node.")
@config_option
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print the backup's manifest as JSON.")
def backup(
    directory: Path, copied: bool, with_key: bool, config: Path | None, data: Path | None, as_json: bool
) -> None:
    """Back up the node to DIR while it serves: the database as it is at one moment, and every blob that it names.

    Into the same DIR again only what is new is brought. On the store's own filesystem files are hard links: they take
    no room, and die with that disk. Not in it: the configuration, uploads under way, and secrets.key, which opens the
    secrets in the database and without which a restored node does not start: keep it elsewhere, or say --with-key.
    Run it as the node's user. Exit 1 if blobs of your own repositories are not on the node.

    \b
    Examples:
      mirror backup /mnt/backup/mirror
      mirror backup /mnt/backup/mirror --config /etc/mirror/mirror.toml --json
    """
    desk = Desk(config, data, "", as_json)
    with said_plainly(), Bars() as bars:
        root, target = store_of(config, data).storage.root, directory.absolute()
        from mirror.registry.identities.seals import KEY_FILE
        from mirror.store.backup import back_up

        async def work(node: Administrator) -> "tuple[Manifest, Brought]":
            return await back_up(
                root,
                target,
                lambda: _snapshot(node, root, bars),
                lambda done, total: bars.progress("blobs", done, total),
                copied=copied,
                beside=[root / KEY_FILE] if with_key else [],
            )

        manifest, brought = desk.ask(work)
    size = decimal(manifest.size)
    desk.say(msgspec.to_builtins(manifest), f"{manifest.blobs} blobs, {size}; {brought.new} of them new in {directory}")
    _end(brought.missing)


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True), metavar="DIR")
@copy_option
@config_option
@data_option
def restore(directory: Path, copied: bool, config: Path | None, data: Path | None) -> None:
    """Make a store anew from the backup in DIR, index and all. There must be none where the node has its data.

    Run it as the node's user. Where secrets.key is not in the backup, put it where the node has its data, before the
    node starts.

    \b
    Examples:
      mirror restore /mnt/backup/mirror --data /var/lib/mirror
      mirror verify --data /var/lib/mirror
    """
    with said_plainly(), Bars() as bars:
        settings = settings_of(config, (), data)
        from mirror import node

        telemetry.start_logging("warning", "console")
        brought = node.restore(settings, directory.absolute(), bars.progress, copied=copied)
    from mirror.registry.identities.seals import KEY_FILE

    root = settings.storage.root
    click.echo(f"{brought.blobs} blobs, {decimal(brought.size)} are in {root}")
    if not (root / KEY_FILE).exists():
        click.echo(f"mirror: put the node's {KEY_FILE} into {root}: the node does not start with another one", err=True)
    _end(brought.missing)


async def _snapshot(node: Administrator, root: Path, bars: Bars) -> Path:
    """Have the node copy its database. Raises Refused."""

    def hear(event: Answer) -> None:
        bars.progress("database pages", event["done"], event["total"])

    from mirror.store.snapshot import snapshot_path

    found = await node.follow("backups", "snapshot", hear)
    if found["failure"]:
        raise Refused(f"the node cannot copy its database: {found['failure']}")
    return snapshot_path(root, found["snapshot"])


def _end(missing: Collection[Digest]) -> None:
    """Say what is missing, and end with exit code 1 if anything is."""
    for digest in sorted(missing)[:SHOWN_MAX]:
        click.echo(plain(f"mirror: {digest}: not on the disk"), err=True)
    if len(missing) > SHOWN_MAX:
        click.echo(f"mirror: {len(missing) - SHOWN_MAX} more are not on the disk", err=True)
    sys.exit(1 if missing else 0)
