"""Sessions of STS: temporary credentials whose whole state is in the sealed session token.

Source: STS API reference, AssumeRole and GetSessionToken; IAM guide, "Temporary security credentials". The key id
(`ASIA...`) is bound into the seal, so a token opens with its own key id only. What can end a session early, that its
role or user is deleted or the access key at the root of it is lost, is not here: `Identities` looks at each use.
"""

import secrets
from base64 import b64encode
from collections import OrderedDict
from dataclasses import dataclass, field
from math import inf
from typing import Final

import msgspec

from mirror.aws.errors import UnrecognizedClient
from mirror.aws.principals import Principal, PrincipalKind
from mirror.registry.identities.basic import strict_base64
from mirror.registry.identities.callers import Credential
from mirror.registry.identities.seals import SealBroken, Seals
from mirror.rules.identities import AccessKey

SESSION_PREFIX: Final = "ASIA"
TOKEN_CHARS_MAX: Final = 4_096  # ours have about 600; STS promises no more than that most are below this
OPENED_MAX: Final = 4_096


@dataclass(frozen=True, slots=True)
class Session:
    """Temporary credentials, as they are given out once."""

    principal: Principal
    key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    expires_at: float


class SessionState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a session token says of its session."""

    kind: PrincipalKind
    account: str
    name: str
    path: str
    session: str
    id: str
    secret: str
    expires_at: float
    origin: str

    @property
    def principal(self) -> Principal:
        return Principal(self.kind, self.account, self.name, self.path, self.session, self.id)


class Sessions:
    """Makes and opens session tokens."""

    def __init__(self, seals: Seals) -> None:
        self._seals = seals
        self._opened: OrderedDict[str, tuple[str, SessionState]] = OrderedDict()

    def make(self, principal: Principal, origin: str, expires_at: float) -> Session:
        """Make credentials of `principal` until `expires_at`, hanging on the long-lived credential `origin`."""
        key_id = new_key_id(SESSION_PREFIX)
        state = SessionState(
            kind=principal.kind,
            account=principal.account,
            name=principal.name,
            path=principal.path,
            session=principal.session,
            id=principal.id,
            secret=new_secret(),
            expires_at=expires_at,
            origin=origin,
        )
        token = b64encode(self._seals.seal(msgspec.json.encode(state), _of(key_id))).decode()
        return Session(principal, key_id, state.secret, token, expires_at)

    def open(self, key_id: str, token: str) -> SessionState:
        """Read the token of the session `key_id`, expired or not. Raises UnrecognizedClient."""
        known = self._opened.get(key_id)
        if known is not None and known[0] == token:
            return known[1]
        if len(token) > TOKEN_CHARS_MAX:
            raise UnrecognizedClient
        try:
            state = msgspec.json.decode(self._seals.open(strict_base64(token), _of(key_id)), type=SessionState)
        except (SealBroken, ValueError, msgspec.DecodeError):
            raise UnrecognizedClient from None
        self._opened[key_id] = (token, state)
        if len(self._opened) > OPENED_MAX:
            self._opened.popitem(last=False)
        return state

    def credential(self, key_id: str) -> Credential:
        """Say what a request signed with the session `key_id` has shown; it has been opened a moment ago."""
        known = self._opened.get(key_id)
        if known is None:
            raise UnrecognizedClient
        return Credential(key_id, known[1].origin, known[1].expires_at)


def credential_of_key(key: AccessKey) -> Credential:
    """Say what a request signed with a long-lived access key has shown."""
    return Credential(key.id, origin_of(key), inf)


def origin_of(key: AccessKey) -> str:
    """Name a key so that another one of its id, with another secret, is not meant."""
    return f"{key.id}@{key.created_at}"


def new_key_id(prefix: str) -> str:
    """Make an id of IAM's form: four letters that tell its kind, sixteen random ones of base32."""
    return prefix + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16))


def new_secret() -> str:
    """Make a secret access key: 40 characters of base64, 240 random bits."""
    return b64encode(secrets.token_bytes(30)).decode()


def _of(key_id: str) -> str:
    return f"session/{key_id}"
