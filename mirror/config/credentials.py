"""Files that settings name: paths, and the credentials that a service manager hands to the service.

Source: systemd.exec(5), LoadCredential= and "Credentials"; systemd.io/CREDENTIALS. Pure.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PREFIX: Final = "credential:"
# Where systemd puts those of mirror.service: for commands of the administrator, who has no $CREDENTIALS_DIRECTORY.
DIRECTORY: Final = Path("/run/credentials/mirror.service")
_NAME: Final = re.compile(r"[A-Za-z0-9_.@:-]{1,255}")


def directory_of(environment: Mapping[str, str]) -> Path:
    """Return where the credentials of this process are; without a service manager, where the service has them."""
    return Path(environment.get("CREDENTIALS_DIRECTORY") or DIRECTORY)


def place_of(text: str, base: Path, credentials: Path) -> Path:
    """Return the file that `text` names: `credential:NAME` in `credentials`, else a path from `base` on.

    Raises ValueError where NAME is none: credentials are files, without directories.
    """
    if not text.startswith(PREFIX):
        return base / text
    name = text.removeprefix(PREFIX)
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise ValueError(f"{text!r} is not {PREFIX}NAME")
    return credentials / name
