"""Where settings come from when nobody says: the environment and the user's own directories."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import click

from mirror.config import Settings, load
from mirror.config.credentials import directory_of
from mirror.store.disk import BLOBS


def settings_of(config: Path | None, listen: Sequence[str], data: Path | None) -> Settings:
    """Read the settings; without a file and a directory, data goes to a directory of the user's own."""
    if config is None and data is None:
        data = user_data()
    given = data.absolute() if data else None
    return load(config, listen=listen, data=given, credentials=directory_of(os.environ))


def store_of(config: Path | None, data: Path | None) -> Settings:
    """Read the settings of a store that is there. Raises OSError: a misspelt place must not become a new store."""
    settings = settings_of(config, (), data)
    root = settings.storage.root
    if not (root / BLOBS).exists():
        said = "there is no store here: name the node's with --config or --data (the first `mirror serve` makes it)"
        raise FileNotFoundError(errno.ENOENT, said, str(root))
    return settings


def user_data() -> Path:
    """Return $XDG_DATA_HOME/mirror, else ~/.local/share/mirror (XDG base directories: a relative one is ignored)."""
    given = Path(os.environ.get("XDG_DATA_HOME", ""))
    if given.is_absolute():
        return given / "mirror"
    try:
        return Path.home() / ".local" / "share" / "mirror"
    except RuntimeError:
        raise click.UsageError("there is no home directory: say where data goes with --data DIR") from None
