"""The commands and their options. What they do is elsewhere; here they are said, read and answered."""

import os
import sys
from functools import partial
from pathlib import Path

import click

from mirror import __version__, telemetry
from mirror.cli.backup import backup, restore
from mirror.cli.collect import collect
from mirror.cli.failures import said_plainly
from mirror.cli.iam import iam
from mirror.cli.image import image
from mirror.cli.offline import offline
from mirror.cli.options import config_option, data_option
from mirror.cli.places import settings_of, store_of
from mirror.cli.progress import Bars
from mirror.cli.purge import purge
from mirror.cli.replication import replication
from mirror.cli.repo import repo
from mirror.cli.secret import secret
from mirror.cli.status import status
from mirror.cli.sync import sync, warm
from mirror.cli.top import top
from mirror.cli.verify import verify
from mirror.config import load
from mirror.config.credentials import directory_of
from mirror.config.identities import load_identities


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mirror", message="%(prog)s %(version)s")
def main() -> None:
    """A container registry node: pull-through mirror and OCI registry.

    \b
    Examples:
      mirror serve                                   mirror the public registries on 127.0.0.1:5000
      mirror serve --listen 0.0.0.0:5000 --data /srv/mirror
      mirror check --config /etc/mirror/mirror.toml  name every fault of a configuration
      mirror verify --repair                         re-read every stored byte, heal what is damaged
      mirror repo create team/app                    make a repository to push to
      mirror iam create-user ci                      make a user; mirror iam --help tells the rest
      mirror warm docker.io/library/alpine:3.20      fetch an image before anybody asks
      mirror backup /mnt/backup/mirror               all that the node holds, while it serves
      mirror status                                  how the node stands; mirror top shows it live
      mirror offline                                 what is servable with no network
    """


_GROUPS = (iam, repo, image, secret, replication, sync)
_ALONE = (warm, collect, backup, restore, status, top, offline, purge, verify)
for group in (*_GROUPS, *_ALONE):
    main.add_command(group)


@main.command()
@config_option
@click.option(
    "--listen",
    "-l",
    multiple=True,
    metavar="HOST:PORT",
    help="An address to listen on, or unix:/path; may be repeated. Before [server] listen of the configuration.",
)
@data_option
def serve(config: Path | None, listen: tuple[str, ...], data: Path | None) -> None:
    """Run the node until SIGTERM or SIGINT; SIGHUP reads the configuration again.

    \b
    Examples:
      mirror serve
      mirror serve --config /etc/mirror/mirror.toml
      mirror serve --listen 127.0.0.1:5000 --listen unix:/run/mirror/mirror.sock
    """
    with said_plainly():
        read = partial(settings_of, config, listen, data)
        settings = read()
        from mirror import node

        telemetry.start_logging(settings.log.level, settings.log.format)
        if settings.traces.endpoint:
            telemetry.start_tracing(settings.traces.endpoint, settings.traces.sample, __version__)
        sys.exit(node.run(settings, read))


@main.command(short_help="Name every fault of a configuration.")
@config_option
def check(config: Path | None) -> None:
    """Name every fault of a configuration, each with its place; exit 1 if there is one.

    \b
    Example:
      mirror check --config /etc/mirror/mirror.toml
    """
    if config is None:
        raise click.UsageError("name the file with --config FILE or MIRROR_CONFIG")
    with said_plainly():
        credentials = directory_of(os.environ)
        settings = load(config, credentials=credentials)
        if settings.iam.file:
            _, warnings = load_identities(Path(settings.iam.file), credentials)
            for warning in warnings:
                click.echo(f"{warning} (a warning)", err=True)
    upstreams = len(settings.upstreams)
    click.echo(f"{config}: OK, {upstreams} upstream{'' if upstreams == 1 else 's'}")


@main.command(short_help="Build the digest index again.")
@config_option
@data_option
def reindex(config: Path | None, data: Path | None) -> None:
    """Build the digest index again from the files and the database. The node must not be running.

    \b
    Example:
      mirror reindex --data /var/lib/mirror
    """
    with said_plainly(), Bars() as bars:
        settings = store_of(config, data)
        from mirror import node

        telemetry.start_logging("warning", "console")
        node.reindex(settings, bars.progress)
        bars.report("the index is complete")
