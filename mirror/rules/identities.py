"""Shapes of IAM's entities as they are kept, of the same things as a file declares them, and what IAM refuses of them.

Source: IAM API reference (shapes, grammars, message texts), IAM guide, "IAM and AWS STS quotas". Secrets in here are
sealed or hashed; only the declared shapes hold them in the clear, and never print them. Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from mirror.aws.arns import parse_arn, policy_arn, role_arn, user_arn
from mirror.aws.errors import AwsError, IamLimitExceeded, IamValidationError, NoSuchEntity
from mirror.aws.principals import Principal
from mirror.oci.errors import Denied

KEYS_PER_USER_MAX: Final = 2  # IAM quota, not adjustable there either
ATTACHED_MAX: Final = 20  # IAM quota "managed policies attached to a user/role", at its highest
USERS_MAX: Final = 5_000  # IAM quota of an account
ROLES_MAX: Final = 5_000  # IAM quota, at its highest
POLICIES_MAX: Final = 5_000  # IAM quota, at its highest
INLINE_CHARS_MAX: Final[Mapping[str, int]] = {
    "user": 2_048,
    "role": 10_240,
}  # all of one holder, white space not counted
TRUST_CHARS_MAX: Final = 4_096  # IAM quota, at its highest
MANAGED_CHARS_MAX: Final = 6_144
SESSION_S_MIN: Final = 900
ROLE_SESSION_S_DEFAULT: Final = 3_600
ROLE_SESSION_S_MAX: Final = 43_200  # twelve hours, the most that MaxSessionDuration may say
PASSWORD_CHARS_MIN: Final = 8  # IAM's own default password policy
PASSWORD_CHARS_MAX: Final = 128
SECRET_CHARS_MAX: Final = 128
ROOT: Final = "root"  # how a file names the account itself where a user's name is wanted

_NAME_CLASS: Final = "A-Za-z0-9_+=,.@-"
_NAME: Final = re.compile(rf"[{_NAME_CLASS}]{{1,64}}")
_POLICY_NAME: Final = re.compile(rf"[{_NAME_CLASS}]{{1,128}}")
_SESSION_NAME: Final = re.compile(rf"[{_NAME_CLASS}]{{2,64}}")
_PATH: Final = re.compile(r"/(?:[!-~]{1,510}/)?")
_ALIAS: Final = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?!-)){1,61}[a-z0-9]")
_KEY_ID: Final = re.compile(r"(?!ASIA)[A-Za-z0-9_]{3,128}")
_SECRET: Final = re.compile(rf"[!-~]{{1,{SECRET_CHARS_MAX}}}")

HolderKind = Literal["user", "role"]


class Password(msgspec.Struct, frozen=True):
    """A user's password: its scrypt hash, and an id that what was issued on its strength names and dies with."""

    id: str
    hash: str
    created_at: float


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """What users and roles have in common: a name, and policies, inline (name to text) and attached (ARNs)."""

    name: str
    id: str
    path: str = "/"
    created_at: float = 0.0
    inline: dict[str, str] = {}
    attached: tuple[str, ...] = ()
    declared: bool = False


class User(Holder, frozen=True, kw_only=True):
    """A user (`AIDA...`) and the ids of its access keys."""

    keys: tuple[str, ...] = ()
    password: Password | None = None


class Role(Holder, frozen=True, kw_only=True):
    """A role (`AROA...`): `trust` is the policy that says who may assume it, for at most `max_session_s`."""

    trust: str
    description: str = ""
    max_session_s: int = ROLE_SESSION_S_DEFAULT


class AccessKey(msgspec.Struct, frozen=True, kw_only=True):
    """An access key of a user, or of the account's root where `user` is empty. `secret` is sealed."""

    id: str
    account: str
    secret: bytes
    created_at: float
    user: str = ""
    user_id: str = ""
    active: bool = True
    declared: bool = False


class ManagedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A customer-managed policy (`ANPA...`), which has one version."""

    name: str
    id: str
    document: str
    path: str = "/"
    description: str = ""
    created_at: float = 0.0
    declared: bool = False


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account: its alias, and the ids of its root's access keys.

    `entered`: its root was given a key by the first start, which a deleted key does not bring back.
    """

    id: str
    alias: str = ""
    keys: tuple[str, ...] = ()
    created_at: float = 0.0
    declared: bool = False
    entered: bool = False


def user_principal(account: str, user: User) -> Principal:
    return Principal("user", account, user.name, user.path, id=user.id)


def role_principal(account: str, role: Role, session: str) -> Principal:
    return Principal("role", account, role.name, role.path, session, role.id)


def holder_arn(account: str, holder: Holder) -> str:
    """Name a user or a role."""
    if isinstance(holder, User):
        return user_arn(account, holder.path, holder.name)
    return role_arn(account, holder.path, holder.name)


def managed_arn(account: str, policy: ManagedPolicy) -> str:
    return policy_arn(account, policy.path, policy.name)


def policy_name_of(arn: str) -> str:
    """Return the last part of a policy's ARN: its name, with no regard to its path."""
    return arn.rpartition("/")[2]


# Declared: what the file says, secrets in the clear and out of every repr.


@dataclass(frozen=True, slots=True)
class DeclaredKey:
    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeclaredAccount:
    id: str
    alias: str = ""


@dataclass(frozen=True, slots=True)
class DeclaredUser:
    """`[[user]]`; the name "root" is the account itself. `attached` are ARNs, `inline` names to texts."""

    account: str
    name: str
    keys: tuple[DeclaredKey, ...] = ()
    password: str = field(default="", repr=False)
    attached: tuple[str, ...] = ()
    inline: Mapping[str, str] = field(default_factory=dict)
    path: str = "/"


@dataclass(frozen=True, slots=True)
class DeclaredRole:
    """`[[role]]`."""

    account: str
    name: str
    trust: str
    attached: tuple[str, ...] = ()
    inline: Mapping[str, str] = field(default_factory=dict)
    path: str = "/"
    description: str = ""
    max_session_s: int = ROLE_SESSION_S_DEFAULT


@dataclass(frozen=True, slots=True)
class DeclaredPolicy:
    """`[[policy]]`: a customer-managed policy."""

    account: str
    name: str
    document: str
    path: str = "/"
    description: str = ""


@dataclass(frozen=True, slots=True)
class Declared:
    """All that a file declares, checked and whole."""

    accounts: tuple[DeclaredAccount, ...] = ()
    users: tuple[DeclaredUser, ...] = ()
    roles: tuple[DeclaredRole, ...] = ()
    policies: tuple[DeclaredPolicy, ...] = ()


# Refusals that only IAM and STS know.


class PasswordPolicyViolation(AwsError):
    aws = "PasswordPolicyViolation"


class StsAccessDenied(Denied):
    """What IAM and STS call the evaluator's no."""

    aws, aws_status = "AccessDenied", 403


def not_found(what: str, name: str) -> NoSuchEntity:
    """Say it as IAM does: `The user with name x cannot be found.`"""
    return NoSuchEntity(f"The {what} with name {name} cannot be found.")


def quota(what: str, limit: int) -> IamLimitExceeded:
    return IamLimitExceeded(f"Cannot exceed quota for {what}: {limit}")


# Grammars. Each returns what it read or raises IamValidationError.


def read_name(field_name: str, text: str) -> str:
    """Read the name of a user or a role."""
    return _read(_NAME, field_name, text)


def read_policy_name(field_name: str, text: str) -> str:
    return _read(_POLICY_NAME, field_name, text)


def read_path(text: str) -> str:
    """Read a path: `/`, or printable ASCII between two slashes."""
    if len(text) > 512 or not _PATH.fullmatch(text):
        raise IamValidationError(
            "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric "
            "characters and/or / characters."
        )
    return text


def read_alias(text: str) -> str:
    """Read an account alias: 3 to 63 of a-z, 0-9 and single -, and not twelve digits, which are an account."""
    if not _ALIAS.fullmatch(text) or re.fullmatch(r"[0-9]{12}", text):
        raise IamValidationError(
            "The specified value for accountAlias is invalid. It must contain only digits, lowercase letters, and "
            "hyphens, but cannot begin or end with a hyphen, or be twelve digits."
        )
    return text


def read_session_name(text: str) -> str:
    if not _SESSION_NAME.fullmatch(text):
        raise IamValidationError(
            f"1 validation error detected: Value '{text[:64]}' at 'roleSessionName' failed to satisfy constraint: "
            r"Member must satisfy regular expression pattern: [\w+=,.@-]{2,64}"
        )
    return text


def is_key_id(text: str) -> bool:
    """Tell whether a file may name an access key so; ids that begin with ASIA are those of sessions."""
    return _KEY_ID.fullmatch(text) is not None


def is_secret(text: str) -> bool:
    return _SECRET.fullmatch(text) is not None


def account_of_policy(arn: str) -> str | None:
    """Return the account that a policy's ARN names ("aws" for the built-in ones); None when it is no such ARN."""
    if arn.startswith("arn:aws:iam::aws:policy/"):
        return "aws"
    read = parse_arn(arn)
    if read is None or read.service != "iam" or not read.resource.startswith("policy/"):
        return None
    return read.account


def _read(grammar: re.Pattern[str], field_name: str, text: str) -> str:
    if not grammar.fullmatch(text):
        raise IamValidationError(
            f"The specified value for {field_name} is invalid. It must contain only alphanumeric characters and/or the "
            "following: +=,.@_-"
        )
    return text
