"""A peer: a node of ours in another region, which takes images of a registry into one of its own.

Source: ECR API reference, GetAuthorizationToken; AWS Signature Version 4. What is spoken is the docker protocol, with
one header more, by which the peer knows that this is a replication, and between which registries.
"""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import orjson
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from yarl import URL

from mirror.oci.errors import UpstreamDenied, UpstreamError, UpstreamTimeout, UpstreamUnavailable
from mirror.rules.replication import HEADER, said
from mirror.rules.routing import UpstreamRule
from mirror.upstream.addresses import FORBIDDEN, Guard
from mirror.upstream.body import read_small
from mirror.upstream.limits import Limits
from mirror.upstream.peer_pull import PeerPull
from mirror.upstream.push import Dialect, PushClient
from mirror.upstream.push_wire import PushWire
from mirror.upstream.sessions import Sessions
from mirror.upstream.throttle import Throttle
from mirror.upstream.upload import OnBytes

LOGIN_S_MAX: Final = 10.0
CHUNK_BYTES: Final = 64 * 1024 * 1024  # of one PATCH: a cut costs no more, and a chunk is soon through
TOKEN_EARLY_S: Final = 600.0  # a token is renewed so long before its end
SECRET_BYTES_MAX: Final = 4_096
ANSWER_BYTES_MAX: Final = 64 * 1024
_TARGET: Final = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"


@dataclass(frozen=True, slots=True)
class PeerRule:
    """How a peer is reached, and by whose access key there."""

    region: str
    url: str
    access_key: str
    secret_file: str
    ca_file: str = ""

    @property
    def what(self) -> str:
        """How messages call it."""
        return f"region {self.region}"


def open_peer(
    rule: PeerRule, account: str, region: str, *, user_agent: str, throttle: Throttle, sent: OnBytes
) -> PushClient:
    """Make the client of a peer: images go to its registry of `account`. `region` is this node's own."""
    wire, base = _open_wire(rule, account, region, user_agent)
    return PushClient(wire, base, Dialect(CHUNK_BYTES, tag_in_query=True, mounts_any=True), throttle, sent)


def open_peer_pull(rule: PeerRule, account: str, region: str, *, user_agent: str) -> PeerPull:
    """Make what asks a peer for images of its registry of `account`. `region` is this node's own."""
    return PeerPull(*_open_wire(rule, account, region, user_agent))


def _open_wire(rule: PeerRule, account: str, region: str, user_agent: str) -> tuple[PushWire, URL]:
    base = URL(rule.url.rstrip("/") + "/")
    sessions = open_sessions(UpstreamRule(rule.region, rule.url, ca_file=rule.ca_file), user_agent)
    return PushWire(rule.what, sessions, PeerIdentity(rule, base, sessions), {HEADER: said(account, region)}), base


def open_sessions(rule: UpstreamRule, user_agent: str) -> Sessions:
    """Make the pools of a registry that images go to."""
    guard = Guard(FORBIDDEN, home_is_checked=False)
    return Sessions(rule, clocks=Limits(), guard=guard, user_agent=user_agent, resolver=None)


class PeerIdentity:
    """Shows an authorization token, which is got with an access key of the peer's."""

    def __init__(self, rule: PeerRule, base: URL, sessions: Sessions) -> None:
        self._rule = rule
        self._base = base
        self._sessions = sessions
        self._login = asyncio.Lock()
        self._token = ("", 0.0)

    async def header(self, scope: str) -> str:  # noqa: ARG002 - the token is for all
        """Return the value of the `Authorization` header. Raises UpstreamDenied, UpstreamUnavailable."""
        async with self._login:
            if time.time() >= self._token[1] - TOKEN_EARLY_S:
                self._token = await self._new_token()
            return f"Basic {self._token[0]}"

    async def after(self, refusal: aiohttp.ClientResponse, scope: str, shown: str) -> str:  # noqa: ARG002
        """Forget the token: it may be of another key since, or of a node that has lost its own."""
        self._token = ("", 0.0)
        return ""

    async def _new_token(self) -> tuple[str, float]:
        headers = await asyncio.to_thread(self._signed)
        try:
            async with asyncio.timeout(LOGIN_S_MAX):
                response = await self._sessions.request("POST", self._base, headers, b"{}")
                try:
                    return self._read(response.status, await read_small(response, ANSWER_BYTES_MAX))
                finally:
                    response.release()
        except TimeoutError:
            raise UpstreamTimeout(f"{self._rule.what} gives no token within {LOGIN_S_MAX:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamUnavailable(f"{self._rule.what}: {error or type(error).__name__}") from None
        except UpstreamError as error:
            if isinstance(error, UpstreamDenied):
                raise
            raise UpstreamUnavailable(f"{self._rule.what} gives no token: {error.message}") from None

    def _read(self, status: int, body: bytes) -> tuple[str, float]:
        """Read an authorization token and when it ends. Raises UpstreamDenied, UpstreamError."""
        try:
            answer = orjson.loads(body)
            if status in (400, 401, 403):
                raise UpstreamDenied(f"{self._rule.what} answered {status}: {answer.get('message', '')}"[:500])
            (data,) = answer["authorizationData"]
            return str(data["authorizationToken"]), float(data["expiresAt"])
        except (ValueError, LookupError, TypeError, AttributeError):
            raise UpstreamError(f"it answered {status}") from None

    def _signed(self) -> dict[str, str]:
        """Sign a call of GetAuthorizationToken. Blocks. Raises UpstreamDenied when the secret cannot be read."""
        try:
            with Path(self._rule.secret_file).open("rb") as file:
                secret = file.read(SECRET_BYTES_MAX).split(b"\n", 1)[0].strip().decode()
        except (OSError, ValueError) as error:
            raise UpstreamDenied(f"secret_file of {self._rule.what} cannot be read: {error}") from None
        headers = {"X-Amz-Target": _TARGET, "Content-Type": "application/x-amz-json-1.1"}
        request = AWSRequest("POST", str(self._base), headers, b"{}")
        SigV4Auth(Credentials(self._rule.access_key, secret), "ecr", self._rule.region).add_auth(request)
        return dict(request.headers.items())
