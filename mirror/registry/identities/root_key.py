"""The first access key: how the operator of a new node gets in.

Its secret is shown once, in a file of the form that AWS tools read (`AWS_SHARED_CREDENTIALS_FILE`), which only its
owner can read. The file is safe before the key is kept: a power cut between them leaves a dead file, not a node that
nobody can enter. Blocks.
"""

import os
import secrets
from pathlib import Path
from typing import Final

from mirror.store.disk import full_disk_refused, open_private, sync_directory

ROOT_FILE: Final = "root.credentials"


def write_credentials(path: Path, key_id: str, secret: str) -> None:
    """Write the credentials file at `path`, over an old one. Blocks."""
    text = f"[default]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n"
    staged = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with full_disk_refused():
        try:
            with open_private(staged) as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)
        sync_directory(path.parent)
