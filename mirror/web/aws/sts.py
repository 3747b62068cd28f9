"""STS's operations, as handlers for the wire: who am I, become a role, a session of my own.

Source: STS API reference. AssumeRole is decided by the role's trust policy as much as by the caller's own, and the
other two need no permission: the dispatcher lets all three through (`SELF_DECIDED`). A session policy would make a
session weaker than its role; as none is kept, one that is asked for is refused.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from mirror.registry.identities import Assumption, Identities, Session, caller_identity
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.aws.iam_shapes import check_kept

SELF_DECIDED: Final = frozenset({("sts", "AssumeRole"), ("sts", "GetCallerIdentity"), ("sts", "GetSessionToken")})
_NOT_KEPT: Final = (
    "Policy",
    "PolicyArns",
    "Tags",
    "TransitiveTagKeys",
    "SerialNumber",
    "TokenCode",
    "SourceIdentity",
    "ProvidedContexts",
)


class Sts:
    """The handlers of STS over the identities of one node."""

    def __init__(self, identities: Identities, clock: Callable[[], float] = time.time) -> None:
        self._identities = identities
        self._clock = clock

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        """Return the handler of each operation, by service and name."""
        return {
            ("sts", "GetCallerIdentity"): self._caller_identity,
            ("sts", "AssumeRole"): self._assume_role,
            ("sts", "GetSessionToken"): self._session_token,
        }

    def resource_arn(self, call: Call) -> str:
        """Name what a call is about."""
        return str(call.input.get("RoleArn", "*"))

    async def _caller_identity(self, call: Call) -> Mapping[str, Any]:
        return caller_identity(call.principal)

    async def _assume_role(self, call: Call) -> Mapping[str, Any]:
        check_kept(call, _NOT_KEPT)
        given = call.input
        asked = Assumption(
            given["RoleArn"], given["RoleSessionName"], given.get("DurationSeconds"), given.get("ExternalId")
        )
        now = self._clock()
        session = self._identities.assume_role(call.principal, call.key_id, asked, now, _context(call, now))
        who = {"AssumedRoleId": caller_identity(session.principal)["UserId"], "Arn": session.principal.arn}
        return {"Credentials": _credentials(session), "AssumedRoleUser": who}

    async def _session_token(self, call: Call) -> Mapping[str, Any]:
        check_kept(call, _NOT_KEPT)
        lasts_s = call.input.get("DurationSeconds")
        session = self._identities.session_token(call.principal, call.key_id, lasts_s, self._clock())
        return {"Credentials": _credentials(session)}


def _context(call: Call, now: float) -> dict[str, tuple[str, ...]]:
    """Return the condition keys that every request has."""
    return {
        "aws:sourceip": (call.source_ip,),
        "aws:useragent": (call.user_agent,),
        "aws:securetransport": ("true" if call.secure else "false",),
        "aws:requestedregion": (call.region,),
        "aws:epochtime": (str(int(now)),),
        "aws:currenttime": (str(int(now)),),
    }


def _credentials(session: Session) -> dict[str, Any]:
    return {
        "AccessKeyId": session.key_id,
        "SecretAccessKey": session.secret,
        "SessionToken": session.token,
        "Expiration": session.expires_at,
    }
