"""A desk: the operations of one kind of thing, each with who answers it. Pure."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from aiohttp import web

from mirror.aws.arns import ACCOUNT
from mirror.aws.errors import InvalidParameter
from mirror.web.administration.asks import Ask


class Streamed(Protocol):
    """An answer that comes bit by bit."""

    async def send(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer with it. Raises ConnectionError when the client has gone."""
        ...


Answer = Mapping[str, Any] | Streamed
Verbs = Mapping[type[Ask], Callable[[str, Any], Awaitable[Answer]]]  # of an account's twelve digits and the ask


class Desk(Protocol):
    """Who answers some operations."""

    def verbs(self) -> Verbs:
        """Return what answers each operation; they raise RegistryError."""
        ...


def check_account(text: str) -> None:
    """Raise InvalidParameter for what is no account's number."""
    if not ACCOUNT.fullmatch(text):
        raise InvalidParameter(f"An account is twelve digits, not {text[:40]!r}")
