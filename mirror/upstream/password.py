"""The credential of an upstream: its user name, and a password that lives elsewhere and may change there.

Source of truth: the file named by the rule, or who is asked for a login: each time anew, so that a changed password is
used without a restart. Never logged, never in an exception's text, never kept in two places.
"""

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path

from mirror.oci.errors import UpstreamDenied
from mirror.rules.routing import UpstreamRule
from mirror.upstream.limits import PASSWORD_BYTES_MAX

# Say user name and password, at once and without blocking. Raises UpstreamDenied when they cannot be had.
Login = Callable[[], tuple[str, str]]


class Credential:
    """What this node shows to an upstream. Falsy when there is neither a login nor a user name: it is anonymous."""

    def __init__(self, rule: UpstreamRule, login: Login | None = None) -> None:
        """`login` is asked in place of the rule's own user name and file."""
        self._login = login
        self._upstream = rule.name
        self._username = rule.username
        self._path = Path(rule.password_file) if rule.password_file else None
        self._read: tuple[tuple[int, int, int], bytes] | None = None

    def __bool__(self) -> bool:
        return self._login is not None or bool(self._username)

    async def basic(self) -> str:
        """Return the value of a Basic `Authorization` header, the password as it is now.

        Raises UpstreamDenied when it cannot be read: an anonymous try would hide the operator's mistake.
        """
        if self._login is not None:
            username, text = self._login()
            password = text.encode()
        else:
            username, password = self._username, await asyncio.to_thread(self._password)
        return "Basic " + base64.b64encode(username.encode() + b":" + password).decode()

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
