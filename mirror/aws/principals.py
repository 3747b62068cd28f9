"""Principals: who asks. An account's root, a user, a role that somebody has assumed, or nobody in particular.

Source: IAM guide, "AWS JSON policy elements: Principal". What a principal may do is not here: that is policies'. Pure.
"""

from dataclasses import dataclass
from typing import Final, Literal

from mirror.aws.arns import assumed_role_arn, role_arn, root_arn, user_arn

PrincipalKind = Literal["anonymous", "root", "user", "role"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `name` is the user's or the role's; `session` that of an assumed role; `id` IAM's unique id.

    A user that was deleted and made again has another `id`: rights of the old one are not the new one's.
    """

    kind: PrincipalKind
    account: str = ""
    name: str = ""
    path: str = "/"
    session: str = ""
    id: str = ""

    @property
    def arn(self) -> str:
        """The name that CloudTrail, GetCallerIdentity and refusals give: of a role, its session's."""
        if self.kind == "user":
            return user_arn(self.account, self.path, self.name)
        if self.kind == "role":
            return assumed_role_arn(self.account, self.name, self.session)
        return root_arn(self.account) if self.kind == "root" else "anonymous"

    @property
    def policy_arns(self) -> tuple[str, ...]:
        """The names by which a policy's Principal element may mean exactly this principal (not its whole account)."""
        if self.kind == "role":
            return (self.arn, role_arn(self.account, self.path, self.name))
        return (self.arn,) if self.kind in ("user", "root") else ()

    @property
    def principal_arn(self) -> str:
        """The value of aws:PrincipalArn: of an assumed role the role's own name."""
        return role_arn(self.account, self.path, self.name) if self.kind == "role" else self.arn


ANONYMOUS: Final = Principal("anonymous")


def root_of(account: str) -> Principal:
    return Principal("root", account, id=account)
