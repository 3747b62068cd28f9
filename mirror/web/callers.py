"""Callers: who a request's Authorization header says it comes from, proved.

Source: ECR.md 3.3 and 3.4: private registries take `Basic AWS:<token>`, public ones a Bearer token, also that of
GetAuthorizationToken itself; a registry with `login = "token"` the Bearer tokens of its own token endpoint; all but the
public ones a user's name and password. Never: a word about which half of a credential was wrong.
"""

from math import inf
from typing import Final

from mirror.aws.principals import ANONYMOUS
from mirror.oci.errors import Denied, Unauthorized
from mirror.registry.identities.basic import read_basic, strict_base64
from mirror.registry.identities.callers import Caller
from mirror.registry.identities.identities import Identities
from mirror.registry.identities.tokens import Tokens
from mirror.rules.hosts import Place

AWS_USER: Final = "AWS"
NOBODY: Final = Caller(ANONYMOUS, inf)


class Callers:
    """Reads credentials."""

    def __init__(self, identities: Identities, tokens: Tokens) -> None:
        self._identities = identities
        self._tokens = tokens

    async def read(self, header: str, place: Place, now: float) -> Caller:
        """Say whose credential `header` is ("": nobody's). Raises Unauthorized, TokenExpired, Denied."""
        found = self.read_now(header, place, now)
        if found is not None:
            return found
        user, password = read_basic(header.partition(" ")[2])
        assert place.registry is not None
        return await self._password(place.registry.account, user, password)

    async def login(self, header: str, place: Place, now: float) -> Caller:
        """Say whose Basic credential this is, at the token endpoint. Raises Unauthorized, TokenExpired."""
        scheme, _, value = header.partition(" ")
        if scheme.lower() != "basic":
            raise Unauthorized("Basic credentials are wanted")
        user, password = read_basic(value)
        if not user and not password:
            return NOBODY
        if user == AWS_USER:
            return self._tokens.verify_login(password, ("ecr-public" if place.public else "ecr",), now)
        if place.registry is None:
            raise Unauthorized("the public registries take the user AWS and a token of GetAuthorizationToken")
        return await self._password(place.registry.account, user, password)

    async def _password(self, account: str, user: str, password: str) -> Caller:
        principal, credential = await self._identities.logins.check(account, user, password)
        return Caller(principal, credential.expires_at, credential.key_id, None, credential.origin)

    def may_be_foreign(self, header: str) -> bool:
        """Tell by its form whether a credential that is not taken here could be one that only an upstream knows."""
        scheme, _, value = header.partition(" ")
        try:
            user, password = read_basic(value)
        except Unauthorized:
            return False
        if scheme.lower() != "basic":
            return False
        if user == AWS_USER:
            # A token of AWS itself may be for an upstream there; one of ours, good or not, is not.
            return not self._tokens.signed_here(password)
        return True

    def is_foreign(self, header: str) -> bool:
        """Tell whether it is to be shown to an upstream.

        That of a name that can log in to this node is not: a password of ours, mistyped or old, is nobody else's.
        """
        if not self.may_be_foreign(header):
            return False
        user, _ = read_basic(header.partition(" ")[2])
        return not self._identities.logins.has_password(user)

    def read_now(self, header: str, place: Place, now: float) -> Caller | None:
        """Say the same where it takes no time; None for a user's password."""
        if not header:
            return NOBODY
        scheme, _, value = header.partition(" ")
        if scheme.lower() == "basic":
            return self._basic(value, place, now)
        if scheme.lower() == "bearer":
            return self._bearer(value.strip(), place, now)
        raise Unauthorized("Basic or Bearer credentials are wanted")

    def _basic(self, encoded: str, place: Place, now: float) -> Caller | None:
        user, password = read_basic(encoded)
        if not user and not password:
            return NOBODY  # what podman and skopeo send when they have no credential (CLIENTS section 2, "Auth")
        if place.public:
            raise Denied("Your Authorization Token is invalid.")
        return self._tokens.verify_login(password, ("ecr",), now) if user == AWS_USER else None

    def _bearer(self, token: str, place: Place, now: float) -> Caller:
        if place.public and "." not in token:
            # The guide's own curl example: the authorizationToken of GetAuthorizationToken as it is.
            return self._tokens.verify_login(_password_of(token), ("ecr-public",), now)
        return self._tokens.verify_bearer(token, place.service, now)


def _password_of(token: str) -> str:
    try:
        user, _, password = strict_base64(token).decode().partition(":")
    except ValueError:
        raise Unauthorized("the token is not one of this registry's") from None
    if user != AWS_USER:
        raise Unauthorized("the token is not one of this registry's")
    return password
