"""Authorization: what a registry wants to see, and what it is shown: nothing, a password, or a token for a scope.

Source: RFC 9110 section 11; the distribution token specification. What the last challenge wanted is shown with the next
request at once; a refusal is a new challenge, met once.
"""

import aiohttp
from yarl import URL

from mirror.upstream.challenge import Challenge, choose, parse_challenges
from mirror.upstream.password import Credential
from mirror.upstream.tokens import AskRealm, Tokens


class Authorization:
    """How one registry lets us in, as anonymous or with a credential."""

    def __init__(self, upstream: str, home: URL, credential: Credential, ask_realm: AskRealm) -> None:
        self._credential = credential
        self._tokens = Tokens(upstream, home, ask_realm)
        self._challenge: Challenge | None = None

    async def header(self, scope: str, rejected: str = "") -> str:
        """Return the value of the `Authorization` header, "" for none; of tokens any but the `rejected` one.

        `scope` may be several, with a space between. Raises UpstreamError and its kin.
        """
        if self._challenge is None:
            return ""
        if self._challenge.scheme == "basic":
            return await self._credential.basic() if self._credential else ""
        token = await self._tokens.get(self._challenge, scope, rejected.removeprefix("Bearer "))
        return f"Bearer {token}"

    async def after(self, refusal: aiohttp.ClientResponse, scope: str, shown: str) -> str:
        """Return what to show after a 401 to `shown`; "" when there is nothing better. Raises as `header` does."""
        challenge = choose(parse_challenges(refusal.headers.getall("WWW-Authenticate", [])))
        if refusal.status != 401 or challenge is None:
            return ""
        self._challenge = challenge
        fresh = await self.header(scope, rejected=shown)
        # The same password again would only help to lock the account.
        return "" if fresh == shown else fresh
