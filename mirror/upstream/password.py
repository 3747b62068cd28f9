"""The credential of an upstream: its user name, and a password that lives in a file and may change there.

Source of truth: the file named by the rule. Never logged, never in an exception's text, never kept in two places.
"""

import asyncio
import base64
from pathlib import Path

from mirror.oci.errors import UpstreamDenied
from mirror.rules.routing import UpstreamRule
from mirror.upstream.limits import PASSWORD_BYTES_MAX


class Credential:
    """What this node shows to an upstream. Falsy when the rule has no user name: then it is anonymous."""

    def __init__(self, rule: UpstreamRule) -> None:
        self._upstream = rule.name
        self._username = rule.username
        self._path = Path(rule.password_file) if rule.password_file else None
        self._read: tuple[tuple[int, int, int], bytes] | None = None

    def __bool__(self) -> bool:
        return bool(self._username)

    async def basic(self) -> str:
        """Return the value of a Basic `Authorization` header, the password as the file has it now.

        Raises UpstreamDenied when the file cannot be read: an anonymous try would hide the operator's mistake.
        """
        password = await asyncio.to_thread(self._password)
        return "Basic " + base64.b64encode(self._username.encode() + b":" + password).decode()

    def _password(self) -> bytes:
        if self._path is None:
            return b""
        try:
            status = self._path.stat()
            mark = (status.st_mtime_ns, status.st_ino, status.st_size)
            if self._read is None or self._read[0] != mark:
                with self._path.open("rb") as file:
                    self._read = (mark, file.read(PASSWORD_BYTES_MAX).strip(b"\r\n"))
        except OSError as error:
            raise UpstreamDenied(f"password_file of upstream {self._upstream}: {error.strerror}") from None
        return self._read[1]
