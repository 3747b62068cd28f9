"""Credentials files of the AWS tools: a key is added as a profile, and nothing that is there is changed.

Source: AWS CLI guide, "Configuration and credential file settings". A new file is its owner's alone.
"""

import configparser
import os
import re
from pathlib import Path
from typing import Final

import click

MODE: Final = 0o600
_PROFILE: Final = re.compile(r"[A-Za-z0-9._@+-]{1,64}")


def check_profile(path: Path, profile: str) -> None:
    """Raise UsageError where the file cannot take the profile: asked before there is a key that would be lost."""
    if not _PROFILE.fullmatch(profile):
        raise click.UsageError(f"{profile!r} cannot be a profile's name")
    if not path.exists():
        if not path.parent.is_dir():
            raise click.UsageError(f"{path.parent} is no directory")
        return
    known = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        known.read_string(path.read_text())
    except (configparser.Error, UnicodeDecodeError):
        raise click.UsageError(f"{path} is no credentials file") from None
    if profile in known:
        raise click.UsageError(f"{path} has a profile {profile} already: choose another with --profile")
    if not os.access(path, os.W_OK):
        raise click.UsageError(f"{path} cannot be written")


def add_profile(path: Path, profile: str, key_id: str, secret: str) -> None:
    """Add a key to the file, which is made if need be. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        file.seek(0)
        text = file.read()
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        file.write(f"{gap}[{profile}]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n")
        file.flush()
        os.fsync(file.fileno())
