"""A destination: a registry of any kind, which is shown a password or a token as it asks.

Source: OCI distribution-spec v1.1; the distribution token specification.
"""

import asyncio
from typing import Final

import aiohttp
from yarl import URL

from mirror.oci.errors import UpstreamDenied, UpstreamError, UpstreamTimeout, UpstreamUnavailable
from mirror.rules.destinations import DestinationRule
from mirror.rules.routing import UpstreamRule
from mirror.upstream.authorization import Authorization
from mirror.upstream.body import read_small
from mirror.upstream.limits import TOKEN_BYTES_MAX
from mirror.upstream.password import Credential
from mirror.upstream.peer import open_sessions
from mirror.upstream.push import Dialect, PushClient
from mirror.upstream.push_wire import PushWire
from mirror.upstream.sessions import Sessions
from mirror.upstream.throttle import Throttle
from mirror.upstream.upload import OnBytes

REALM_S_MAX: Final = 10.0


def open_destination(rule: DestinationRule, *, user_agent: str, throttle: Throttle, sent: OnBytes) -> PushClient:
    """Make the client of a destination."""
    what = f"destination {rule.name}"
    same = UpstreamRule(
        rule.name, rule.url, username=rule.username, password_file=rule.password_file, ca_file=rule.ca_file
    )
    sessions = open_sessions(same, user_agent)
    credential = Credential(same)
    realm = _Realm(what, sessions, credential)
    wire = PushWire(what, sessions, Authorization(rule.name, sessions.home, credential, realm.ask), {})
    return PushClient(wire, URL(rule.url.rstrip("/") + "/"), Dialect(), throttle, sent)


class _Realm:
    """Asks the token endpoint of a destination."""

    def __init__(self, what: str, sessions: Sessions, credential: Credential) -> None:
        self._what = what
        self._sessions = sessions
        self._credential = credential

    async def ask(self, url: URL) -> bytes:
        """Return the body of the endpoint's 200. Raises UpstreamDenied, UpstreamUnavailable, UpstreamError."""
        headers = {"Authorization": await self._credential.basic()} if self._credential else {}
        try:
            async with asyncio.timeout(REALM_S_MAX):
                response = await self._sessions.request("GET", url, headers)
                try:
                    return self._checked(response.status, await read_small(response, TOKEN_BYTES_MAX))
                finally:
                    response.release()
        except TimeoutError:
            raise UpstreamTimeout(f"{self._what} gives no token within {REALM_S_MAX:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamUnavailable(f"{self._what}: {error or type(error).__name__}") from None

    def _checked(self, status: int, body: bytes) -> bytes:
        if status in (400, 401, 403, 404):
            raise UpstreamDenied(f"{self._what} gives us no token: {status}")
        if status >= 500 or status == 429:
            raise UpstreamUnavailable(f"the token endpoint of {self._what} answered {status}")
        if status != 200:
            raise UpstreamError(f"the token endpoint of {self._what} answered {status}")
        return body
