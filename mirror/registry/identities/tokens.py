"""Tokens that this node issues: ECR's authorization tokens, and bearer tokens of a docker token endpoint.

Source: ECR.md 3.2 (the password is base64 of a JSON envelope and has no colon) and 3.4; distribution's token spec for
`access`. A token names its principal and what it hangs on; whether these are still there is asked at each use, so a
token dies with its user, its access key, its password or its role. Stateless otherwise. Never: says what may be done.
"""

import json
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, Literal

import msgspec

from mirror.aws.principals import Principal, PrincipalKind
from mirror.oci.errors import Unauthorized
from mirror.registry.identities.basic import strict_base64
from mirror.registry.identities.callers import Caller, Credential, Scope, TokenExpired
from mirror.registry.identities.signatures import Signatures
from mirror.registry.identities.signing_keys import TOKEN_S_MAX

ISSUER: Final = "mirror"
LOGIN_S: Final = 12 * 3_600.0  # ECR: authorization tokens live for twelve hours
BEARER_S_MAX: Final = 900.0  # RELIABILITY A21: rights of a scope are taken away within a quarter of an hour
SKEW_S: Final = 60.0  # a clock that was set back since (RELIABILITY G24)
PASSWORD_CHARS_MAX: Final = 8_192
VERIFIED_MAX: Final = 1_024  # tokens whose signature need not be checked again
assert LOGIN_S <= TOKEN_S_MAX

# Say who a principal is now: None when it, or the credential named by the second argument, is no longer there.
Current = Callable[[Principal, str], Principal | None]


class Claims(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a token says."""

    iss: str
    use: Literal["login", "bearer"]
    aud: str
    iat: float
    exp: float
    kind: PrincipalKind
    account: str = ""
    name: str = ""
    path: str = "/"
    session: str = ""
    id: str = ""
    key: str = ""
    origin: str = ""
    access: tuple[Scope, ...] | None = None


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    payload: str
    datakey: str
    version: str
    type: str
    expiration: int


@dataclass(frozen=True, slots=True)
class Issued:
    """A token and when it ends (unix seconds)."""

    text: str = field(repr=False)
    expires_at: float


class Tokens:
    """Issues and verifies. `current` is asked about the principal of each token that is shown."""

    def __init__(self, signatures: Signatures, current: Current) -> None:
        self._signatures = signatures
        self._current = current
        self._verified: OrderedDict[str, tuple[Claims, str]] = OrderedDict()

    def issue_login(self, principal: Principal, credential: Credential, audience: str, now: float) -> Issued:
        """Make the password of an authorization token: for twelve hours, or to the end of the caller's session."""
        claims = _claims("login", principal, credential, audience, now, LOGIN_S)
        token, kid = self._signatures.sign(msgspec.json.encode(claims))
        return Issued(b64encode(_envelope(token, kid, int(claims.exp))).decode(), claims.exp)

    def issue_bearer(
        self,
        principal: Principal,
        credential: Credential,
        audience: str,
        access: Sequence[Scope] | None,
        now: float,
        life_s: float = BEARER_S_MAX,
    ) -> Issued:
        """Make a bearer token for `audience`, a host or service: for `life_s`, or to the end of what was shown."""
        life_s = min(life_s, TOKEN_S_MAX)
        claims = _claims("bearer", principal, credential, audience, now, life_s)
        if access is not None:
            claims = msgspec.structs.replace(claims, access=tuple(access))
        token, _ = self._signatures.sign(msgspec.json.encode(claims))
        return Issued(token, claims.exp)

    def verify_login(self, password: str, audiences: Collection[str], now: float) -> Caller:
        """Read an authorization token's password. Raises TokenExpired when it was good once, else Unauthorized."""
        envelope, raw = _read_envelope(password)
        try:
            claims, kid = self._claims_of(envelope.payload)
        except Unauthorized:
            # Its key is gone with all that it signed: tell an old token so. It is refused either way.
            if envelope.expiration <= now:
                raise TokenExpired from None
            raise
        if _envelope(envelope.payload, envelope.datakey, int(claims.exp)) != raw or kid != envelope.datakey:
            raise Unauthorized("the authorization token was changed")
        return self._caller(claims, "login", audiences, now)

    def signed_here(self, password: str) -> bool:
        """Tell whether a password is one that this node issued, whatever has become of it."""
        try:
            self._claims_of(_read_envelope(password)[0].payload)
        except Unauthorized:
            return False
        return True

    def verify_bearer(self, token: str, audience: str, now: float) -> Caller:
        """Read a bearer token. Raises TokenExpired when it was good once, else Unauthorized."""
        claims, _ = self._claims_of(token)
        return self._caller(claims, "bearer", (audience,), now)

    def _claims_of(self, token: str) -> tuple[Claims, str]:
        """Verify the signature of `token`, once while its key is accepted and the memory lasts."""
        known = self._verified.get(token)
        if known is None or not self._signatures.accepts(known[1]):
            payload, kid = self._signatures.verify(token)
            known = self._verified[token] = (_read_claims(payload), kid)
            if len(self._verified) > VERIFIED_MAX:
                self._verified.popitem(last=False)
        return known

    def _caller(self, claims: Claims, use: str, audiences: Collection[str], now: float) -> Caller:
        if claims.use != use or claims.aud not in audiences or claims.iss != ISSUER:
            raise Unauthorized("the token is for something else")
        if claims.iat > now + SKEW_S:
            raise Unauthorized("the token is not valid yet")
        if claims.exp <= now:
            raise TokenExpired
        principal = self._current(_principal(claims), claims.origin)
        if principal is None:
            raise Unauthorized("the token's owner is no longer there")
        return Caller(principal, claims.exp, claims.key, claims.access, claims.origin)


def _claims(
    use: Literal["login", "bearer"],
    principal: Principal,
    credential: Credential,
    audience: str,
    now: float,
    life_s: float,
) -> Claims:
    return Claims(
        iss=ISSUER,
        use=use,
        aud=audience,
        iat=now,
        exp=min(now + life_s, credential.expires_at),
        kind=principal.kind,
        account=principal.account,
        name=principal.name,
        path=principal.path,
        session=principal.session,
        id=principal.id,
        key=credential.key_id,
        origin=credential.origin,
    )


def _principal(claims: Claims) -> Principal:
    return Principal(claims.kind, claims.account, claims.name, claims.path, claims.session, claims.id)


def _read_claims(payload: bytes) -> Claims:
    try:
        json.loads(payload, object_pairs_hook=_no_twins)
        claims = msgspec.json.decode(payload, type=Claims)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise Unauthorized("the token says nothing that we would") from None
    if not 0 <= claims.iat < claims.exp < inf:
        raise Unauthorized("the token says nothing that we would")
    return claims


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse two claims of one name: two readers would see two tokens."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _envelope(token: str, kid: str, expiration: int) -> bytes:
    """Write the envelope, in its one form. `datakey` is opaque to clients; here it is the name of the key."""
    return msgspec.json.encode(_Envelope(token, kid, "2", "DATA_KEY", expiration))


def _read_envelope(password: str) -> tuple[_Envelope, bytes]:
    if len(password) > PASSWORD_CHARS_MAX:
        raise Unauthorized("the authorization token is too long")
    try:
        raw = strict_base64(password)
        return msgspec.json.decode(raw, type=_Envelope), raw
    except (msgspec.DecodeError, ValueError):
        raise Unauthorized("this is no authorization token") from None
