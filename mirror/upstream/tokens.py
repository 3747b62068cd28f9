"""Bearer tokens: one for each (realm, service, scope), reused until shortly before it expires.

Source: the distribution token specification (`GET realm?service=..&scope=..`, Basic when there is a credential). It
asks through the callable it is given, and gives a credential to no realm that `realm.py` does not trust.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
from yarl import URL

from mirror.oci.errors import UpstreamError
from mirror.upstream.challenge import Challenge
from mirror.upstream.limits import TOKENS_MAX
from mirror.upstream.realm import is_trusted_realm

LIFE_S_DEFAULT: Final = 60.0  # the specification's value for an answer that names none
LIFE_S_MAX: Final = 3_600.0  # an upstream's generosity: a right taken away should end some day
MARGIN_S: Final = 10.0  # a request on its way must arrive before its token expires
MARGIN_SHARE: Final = 0.25  # of a token that lives shorter than four margins
FAILURE_S: Final = 1.0  # those who waited for the same token share its failure too
TOKEN_CHARS_MAX: Final = 7_168  # it has to fit a header line of 8 KiB

# Ask the realm's URL, with our credential, and return the body of its 200. Raises UpstreamError and its kin.
AskRealm = Callable[[URL], Awaitable[bytes]]


class _Answer(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None


@dataclass(slots=True)
class _Slot:
    """One scope's token, or why there is none; the lock lets one caller fetch while the others wait for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    token: str = ""
    until: float = 0.0
    failure: UpstreamError | None = None
    failed_at: float = 0.0


class Tokens:
    """The tokens of one upstream."""

    def __init__(self, upstream: str, home: URL, ask: AskRealm) -> None:
        self._upstream = upstream
        self._home = home
        self._ask = ask
        self._slots: OrderedDict[str, _Slot] = OrderedDict()

    async def get(self, challenge: Challenge, scope: str, rejected: str = "") -> str:
        """Return a token for `scope` (several with a space between), any but the `rejected` one.

        N callers cost one fetch.

        A caller that goes away while fetching leaves the turn to the next. Raises UpstreamError and its kin.
        """
        slot = self._slot(url := self._url(challenge, scope))
        asked_at = time.monotonic()
        async with slot.lock:
            if slot.token and slot.token != rejected and time.monotonic() < slot.until:
                return slot.token
            if slot.failure is not None and slot.failed_at > asked_at - FAILURE_S:
                raise type(slot.failure)(slot.failure.message, headers=slot.failure.headers)
            try:
                slot.token, life_s = self._read(await self._ask(url))
            except UpstreamError as error:
                slot.failure, slot.failed_at = error, time.monotonic()
                raise
            slot.failure = None
            slot.until = time.monotonic() + life_s - min(MARGIN_S, life_s * MARGIN_SHARE)
            return slot.token

    def _slot(self, url: URL) -> _Slot:
        slot = self._slots.setdefault(str(url), _Slot())
        self._slots.move_to_end(str(url))
        if len(self._slots) > TOKENS_MAX:
            self._slots.popitem(last=False)
        return slot

    def _url(self, challenge: Challenge, scope: str) -> URL:
        try:
            realm = URL(challenge.realm)
            trusted = is_trusted_realm(realm, self._home)
        except ValueError:
            trusted = False
        if not trusted:
            raise UpstreamError(f"upstream {self._upstream} names a token realm on a host that is not trusted with it")
        query = {"service": challenge.service} if challenge.service else {}
        return realm.with_fragment(None).update_query({**query, **({"scope": scope.split()} if scope else {})})

    def _read(self, body: bytes) -> tuple[str, float]:
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise UpstreamError(f"the token endpoint of upstream {self._upstream} answered no token") from None
        token = answer.token or answer.access_token
        if not token or len(token) > TOKEN_CHARS_MAX or not token.isascii() or not token.isprintable() or " " in token:
            raise UpstreamError(f"the token endpoint of upstream {self._upstream} answered no usable token")
        life_s = answer.expires_in if answer.expires_in and answer.expires_in > 0 else LIFE_S_DEFAULT
        return token, min(life_s, LIFE_S_MAX)
