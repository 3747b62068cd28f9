"""The options that several commands have, each said once."""

from pathlib import Path
from typing import Final

import click

config_option: Final = click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path),
    envvar="MIRROR_CONFIG",
    show_envvar=True,
    metavar="FILE",
    help="The TOML configuration; without one the public registries are mirrored.",
)
data_option: Final = click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where blobs and databases live; before [storage] root of the configuration.",
)
public_option: Final = click.option(
    "--public", is_flag=True, help="The account's public registry, not its private one."
)
role_option: Final = click.option("--role", "is_role", is_flag=True, help="NAME is a role's, not a user's.")
password_option: Final = click.option(
    "--password-file",
    type=click.File("r"),
    metavar="FILE",
    help="Read the password from the first line of FILE, - for stdin; without it you are asked.",
)
