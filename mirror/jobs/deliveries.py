"""Deliveries: one event, sent to one webhook, once: signed, in time, and of the answer only the status counts.

Source: the webhooks of GitHub, whose header names and signature receivers know. URLs come from the operator's file
alone, so that no address is forbidden; redirects are not followed, so that a receiver cannot choose one either.
"""

import asyncio
import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import aiohttp
import orjson
from yarl import URL

from mirror.registry.events import Event

ANSWER_S_MAX: Final = 30.0  # from connecting to the last byte of the answer
CONNECT_S_MAX: Final = 10.0
ANSWER_BYTES_MAX: Final = 64 * 1024  # read so that the connection can be used again; what is longer is hung up on
SECRET_BYTES_MAX: Final = 4_096
AFTER_S_MAX: Final = 300.0  # a receiver may ask for a longer pause and gets this one
# Refusals that are about the moment, not about the event.
_LATER: Final = frozenset({408, 425, 429})
_SECONDS: Final = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Hook:
    """Who is told. `secret_file` signs, "" for none; `types` are those of the events, all where there are none."""

    url: str
    secret_file: str = ""
    types: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What log and cursor call it: its host and a digest of its URL, which may hold a secret."""
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        return f"{URL(self.url, encoded=True).host} {digest}"


Verdict = Literal["taken", "refused", "trouble"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a delivery: taken, refused as it is, or trouble that may pass. `after_s`: the pause asked for."""

    verdict: Verdict
    reason: str = ""
    after_s: float = 0.0


@asynccontextmanager
async def opened(user_agent: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Open the connections to one hook: no cookies, no proxy of the environment, no unpacking."""
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=ANSWER_S_MAX, connect=CONNECT_S_MAX),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": user_agent},
        auto_decompress=False,
    ) as session:
        yield session


async def deliver(session: aiohttp.ClientSession, hook: Hook, event: Event) -> Answer:
    """Send an event; never raises for what the network, the receiver or the secret's file do."""
    body = orjson.dumps(event.body)
    headers = {"Content-Type": "application/json", "X-Mirror-Event": event.type, "X-Mirror-Delivery": event.id}
    try:
        if hook.secret_file:
            # Read each time: a secret that is changed counts from the next event on.
            secret = await asyncio.to_thread(_read_secret, hook.secret_file)
            headers["X-Mirror-Signature-256"] = sign(secret, body)
        url = URL(hook.url, encoded=True)
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            await _read_off(response)
            return _judged(response)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return Answer("trouble", _said(error))


def sign(secret: bytes, body: bytes) -> str:
    """Return the value of X-Mirror-Signature-256: the HMAC of the body as it was sent."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def _read_secret(path: str) -> bytes:
    """Read the first line. Raises OSError, also for an empty one: what is signed with nothing, anybody can sign."""
    with Path(path).open("rb") as file:
        secret = file.read(SECRET_BYTES_MAX).split(b"\n", 1)[0].strip()
    if not secret:
        raise OSError(f"secret_file {path} is empty")
    return secret


async def _read_off(response: aiohttp.ClientResponse) -> None:
    """Read a short answer to its end; of a long one no more than its beginning."""
    read = 0
    while read <= ANSWER_BYTES_MAX and (chunk := await response.content.read(ANSWER_BYTES_MAX)):
        read += len(chunk)
    if read > ANSWER_BYTES_MAX:
        response.close()


def _judged(response: aiohttp.ClientResponse) -> Answer:
    status = response.status
    if 200 <= status < 300:
        return Answer("taken")
    refused = 400 <= status < 500 and status not in _LATER
    asked = response.headers.get("Retry-After", "")
    after_s = min(float(asked), AFTER_S_MAX) if _SECONDS.fullmatch(asked) else 0.0
    return Answer("refused" if refused else "trouble", f"answered {status}", after_s)


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__
