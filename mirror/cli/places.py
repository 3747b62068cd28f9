"""Where settings come from when nobody says: the environment and the user's own directories."""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from mirror.config import Settings, load


def settings_of(config: Path | None, listen: Sequence[str], data: Path | None) -> Settings:
    """Read the settings; without a file and a directory, data goes to a directory of the user's own."""
    if config is None and data is None:
        data = user_data()
    return load(config, listen=listen, data=data.absolute() if data else None)


def user_data() -> Path:
    """Return $XDG_DATA_HOME/mirror, else ~/.local/share/mirror (XDG base directories: a relative one is ignored)."""
    given = Path(os.environ.get("XDG_DATA_HOME", ""))
    if given.is_absolute():
        return given / "mirror"
    try:
        return Path.home() / ".local" / "share" / "mirror"
    except RuntimeError:
        raise click.UsageError("there is no home directory: say where data goes with --data DIR") from None
