"""Assuming a role: who may, under what name and for how long.

Source: STS API reference, AssumeRole; IAM guide, "Cross-account policy evaluation logic". The trust policy must mean
the caller, by its own name or by its account's. In the role's own account a trust policy that names the caller itself
is enough; else the caller's own policies must allow it too. A Deny on either side wins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mirror.aws.arns import parse_arn
from mirror.aws.errors import IamValidationError
from mirror.aws.principals import Principal
from mirror.rules.access import Policy, Question, decide
from mirror.rules.identities import SESSION_S_MIN, Role, StsAccessDenied, read_session_name

ACTION: Final = "sts:AssumeRole"
CHAINED_S_MAX: Final = 3_600  # IAM guide, "Role chaining": an hour, whatever the role allows
_ROLE_MARK: Final = "role/"


@dataclass(frozen=True, slots=True)
class Assumption:
    """What AssumeRole is asked for. `duration_s` of None is an hour."""

    role_arn: str
    session_name: str
    duration_s: int | None = None
    external_id: str | None = None

    def context(self, more: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
        """Return the condition keys of this request, beside those that every request has."""
        found = {**more, "sts:rolesessionname": (self.session_name,)}
        return found if self.external_id is None else {**found, "sts:externalid": (self.external_id,)}


def read_role_arn(arn: str) -> tuple[str, str] | None:
    """Return account and name of the role that `arn` names; None when it names none."""
    read = parse_arn(arn)
    if read is None or read.service != "iam" or not read.account or not read.resource.startswith(_ROLE_MARK):
        return None
    return read.account, read.resource.rpartition("/")[2]


def refused(principal: Principal, role_arn: str) -> StsAccessDenied:
    """Say no, in the same words whether the role exists or not."""
    return StsAccessDenied(
        f"User: {principal.arn} is not authorized to perform: {ACTION} on resource: {role_arn[:2_048]}"
    )


def may_assume(
    asked: Assumption,
    principal: Principal,
    owner: str,
    trust: Policy,
    identity: Sequence[Policy],
    context: Mapping[str, Sequence[str]],
) -> bool:
    """Decide whether `principal` may assume the role of `owner` that trusts whom `trust` names."""
    question = Question(principal, ACTION, asked.role_arn, owner, asked.context(context))
    return decide(question, identity=identity, resource=(trust,)).allowed


def check_assumption(asked: Assumption) -> None:
    """Raise IamValidationError for a session name or a duration that no role could have."""
    read_session_name(asked.session_name)
    if asked.duration_s is not None and asked.duration_s < SESSION_S_MIN:
        raise IamValidationError(
            f"1 validation error detected: Value '{asked.duration_s}' at 'durationSeconds' failed to satisfy "
            f"constraint: Member must have value greater than or equal to {SESSION_S_MIN}"
        )


def session_s(asked: Assumption, principal: Principal, role: Role) -> int:
    """Return how long the session lasts, in seconds. Raises IamValidationError."""
    chained = principal.kind == "role"
    if asked.duration_s is None:
        return min(CHAINED_S_MAX, role.max_session_s)
    if chained and asked.duration_s > CHAINED_S_MAX:
        raise IamValidationError(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
        )
    if asked.duration_s > role.max_session_s:
        raise IamValidationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    return asked.duration_s
