"""Callers: who a credential turned out to be, for how long, and what else dies with it."""

from dataclasses import dataclass
from math import inf
from typing import Final

import msgspec

from mirror.aws.principals import Principal
from mirror.oci.errors import Denied

EXPIRED: Final = "Your authorization token has expired. Reauthenticate and try again."


class TokenExpired(Denied):
    """A token that was good once (ECR.md 3.3: 403 DENIED, not 401)."""

    aws, aws_status = "ExpiredTokenException", 403

    def __init__(self) -> None:
        super().__init__(EXPIRED)


class Scope(msgspec.Struct, frozen=True):
    """A resource scope of a docker token: what was granted, e.g. `repository`, `acme/app`, (`pull`,)."""

    type: str
    name: str
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Credential:
    """What somebody showed. `origin` names the long-lived thing it hangs on, an access key or a password; it is ""
    when nothing can be taken away but the principal itself. `expires_at` (unix seconds) is a session's own end.
    """

    key_id: str = ""
    origin: str = ""
    expires_at: float = inf


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as read from a token. `scopes` is None where the token names none: policies alone decide."""

    principal: Principal
    expires_at: float
    key_id: str = ""
    scopes: tuple[Scope, ...] | None = None
    origin: str = ""

    @property
    def credential(self) -> Credential:
        """What a token that is issued to this caller hangs on: it does not outlive the one that was shown."""
        return Credential(self.key_id, self.origin, self.expires_at)
