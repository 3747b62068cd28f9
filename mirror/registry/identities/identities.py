"""Identities: who is who on this node, what they hold, and how they become somebody else.

The living object over the documents of IAM. Source: IAM and STS API references. What somebody may do is the evaluator's
to say (`rules.access`); here it is asked only whether a role may be assumed. Never: logs a secret.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from mirror.aws.errors import ExpiredToken, IamValidationError, UnrecognizedClient
from mirror.aws.principals import Principal, root_of
from mirror.registry.identities.accounts import Accounts
from mirror.registry.identities.assumption import (
    Assumption,
    check_assumption,
    may_assume,
    read_role_arn,
    refused,
    session_s,
)
from mirror.registry.identities.callers import Credential
from mirror.registry.identities.compiled import Compiled
from mirror.registry.identities.entities import Entities, kept
from mirror.registry.identities.holders import Holders
from mirror.registry.identities.keys import PREFIX, AccessKeys
from mirror.registry.identities.logins import Logins, is_password_of
from mirror.registry.identities.managed import ManagedPolicies
from mirror.registry.identities.passwords import Passwords
from mirror.registry.identities.root_key import write_credentials
from mirror.registry.identities.seals import SealBroken, Seals
from mirror.registry.identities.sessions import (
    SESSION_PREFIX,
    Session,
    Sessions,
    credential_of_key,
    new_key_id,
    new_secret,
    origin_of,
)
from mirror.rules.access import Policy
from mirror.rules.identities import (
    SESSION_S_MIN,
    AccessKey,
    Account,
    StsAccessDenied,
    User,
    holder_arn,
    role_principal,
    user_principal,
)
from mirror.store.documents import Documents

USER_SESSION_S_DEFAULT: Final = 43_200  # GetSessionToken: twelve hours
USER_SESSION_S_MAX: Final = 129_600  # 36 hours
ROOT_SESSION_S_MAX: Final = 3_600  # GetSessionToken by root: an hour


class Identities:
    """The accounts of one node and who is in them; verbs on each kind of thing stand at its own attribute."""

    def __init__(self, documents: Documents, seals: Seals, passwords: Passwords, default_account: str) -> None:
        self.entities = Entities(documents)
        self.compiled = Compiled(self.entities)
        self.accounts = Accounts(self.entities, default_account)
        self.holders = Holders(self.entities, self.compiled)
        self.managed = ManagedPolicies(self.entities, self.compiled)
        self.keys = AccessKeys(self.entities, seals)
        self.logins = Logins(self.entities, self.holders, passwords)
        self._sessions = Sessions(seals)

    def identity_policies(self, principal: Principal) -> tuple[Policy, ...]:
        """Return what `principal` holds, compiled; root and anonymous hold nothing."""
        return self.compiled.identity(principal)

    def find_user(self, account: str, name: str) -> User | None:
        return self.entities.user(account, name)

    def current(self, principal: Principal, origin: str) -> Principal | None:
        """Return the principal as it is now; None when it, or the credential `origin` it hangs on, is gone."""
        now = self._now(principal)
        if now is None or not origin:
            return now
        key = self.entities.key(origin.partition("@")[0])
        if key is not None:
            good = key.active and origin_of(key) == origin and (principal.kind == "role" or self._owner(key) == now)
            return now if good else None
        user = self.entities.user(principal.account, principal.name) if principal.kind == "user" else None
        return now if user is not None and is_password_of(user, origin) else None

    def find_key(self, key_id: str, session_token: str | None, now: float) -> tuple[Principal, str]:
        """Return whose access key this is, and its secret. Raises UnrecognizedClient or ExpiredToken."""
        if key_id.startswith(SESSION_PREFIX):
            return self._find_session(key_id, session_token or "", now)
        key = self.entities.key(key_id)
        if key is None or not key.active or session_token:
            raise UnrecognizedClient
        try:
            secret = self.keys.secret(key)
        except SealBroken:
            raise UnrecognizedClient from None
        principal = self._owner(key)
        if principal is None:
            raise UnrecognizedClient
        return principal, secret

    def credential(self, key_id: str) -> Credential:
        """Say what a request that was signed with `key_id`, and found so a moment ago, has shown."""
        if not key_id:
            return Credential()
        if key_id.startswith(SESSION_PREFIX):
            return self._sessions.credential(key_id)
        key = self.entities.key(key_id)
        if key is None:
            raise UnrecognizedClient
        return credential_of_key(key)

    def assume_role(
        self,
        principal: Principal,
        key_id: str,
        asked: Assumption,
        now: float,
        context: Mapping[str, Sequence[str]] | None = None,
    ) -> Session:
        """Make a session of a role for `principal`, who signed with `key_id`. `context`: condition keys of the request.

        Raises StsAccessDenied or IamValidationError.
        """
        check_assumption(asked)
        if principal.kind == "root":
            raise StsAccessDenied("Roles may not be assumed by root accounts.")
        account, name = read_role_arn(asked.role_arn) or ("", "")
        role = self.entities.role(account, name) if name else None
        if role is None or holder_arn(account, role) != asked.role_arn:
            raise refused(principal, asked.role_arn)
        trust, identity = self.compiled.trust(role), self.identity_policies(principal)
        if not may_assume(asked, principal, account, trust, identity, context or {}):
            raise refused(principal, asked.role_arn)
        lasts_s = session_s(asked, principal, role)
        session = role_principal(account, role, asked.session_name)
        return self._sessions.make(session, self.credential(key_id).origin, now + lasts_s)

    def session_token(self, principal: Principal, key_id: str, duration_s: int | None, now: float) -> Session:
        """Make a session of a user or root itself. Raises StsAccessDenied for who has only a session already."""
        if principal.kind not in ("user", "root") or key_id.startswith(SESSION_PREFIX):
            raise StsAccessDenied("Cannot call GetSessionToken with session credentials")
        longest = ROOT_SESSION_S_MAX if principal.kind == "root" else USER_SESSION_S_MAX
        lasts_s = USER_SESSION_S_DEFAULT if duration_s is None else duration_s
        if not SESSION_S_MIN <= lasts_s <= USER_SESSION_S_MAX:
            raise IamValidationError(
                f"1 validation error detected: Value '{lasts_s}' at 'durationSeconds' failed to satisfy constraint: "
                f"Member must have value between {SESSION_S_MIN} and {USER_SESSION_S_MAX}"
            )
        return self._sessions.make(principal, self.credential(key_id).origin, now + min(lasts_s, longest))

    async def ensure_root(self, account: str, credentials: Path, now: float) -> str | None:
        """Make the account's first root access key, once; write it to the file `credentials`; return its id."""
        async with self.entities.changing():
            owner = self.entities.account(account) or Account(id=account, created_at=now)
            if owner.entered or owner.keys:
                return None
            secret = new_secret()
            key = self.keys.sealed(
                AccessKey(id=new_key_id(PREFIX), account=account, secret=b"", created_at=now), secret
            )
            await asyncio.to_thread(write_credentials, credentials, key.id, secret)
            owner = replace(owner, keys=(key.id,), entered=True)
            await self.entities.write([kept(account, owner), kept(account, key)])
        return key.id

    def _now(self, principal: Principal) -> Principal | None:
        """Return the principal with what may have changed since; None when it is gone. Same name, new id is gone."""
        if principal.kind == "anonymous":
            return principal
        if principal.kind == "root":
            return root_of(principal.account) if self.accounts.exists(principal.account) else None
        if principal.kind == "user":
            user = self.entities.user(principal.account, principal.name)
            return user_principal(principal.account, user) if user is not None and user.id == principal.id else None
        role = self.entities.role(principal.account, principal.name)
        if role is None or role.id != principal.id:
            return None
        return role_principal(principal.account, role, principal.session)

    def _owner(self, key: AccessKey) -> Principal | None:
        if not key.user:
            return self._now(root_of(key.account))
        user = self.entities.user(key.account, key.user)
        return user_principal(key.account, user) if user is not None and user.id == key.user_id else None

    def _find_session(self, key_id: str, token: str, now: float) -> tuple[Principal, str]:
        state = self._sessions.open(key_id, token)
        principal = self.current(state.principal, state.origin)
        if principal is None:
            raise UnrecognizedClient
        if state.expires_at <= now:
            raise ExpiredToken
        return principal, state.secret


def caller_identity(principal: Principal) -> dict[str, str]:
    """Say who somebody is, as GetCallerIdentity does: a session's UserId is the role's id and the session's name."""
    user_id = f"{principal.id}:{principal.session}" if principal.kind == "role" else principal.id
    return {"UserId": user_id, "Account": principal.account, "Arn": principal.arn}
