"""IAM's entities as its answers show them, and what its operations have in common: pages, names, what is not kept.

Source: IAM API reference, "Data Types". That policy texts are percent-encoded in its answers is the protocol's affair.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mirror.aws.errors import IamValidationError
from mirror.registry.identities.managed import VERSION, NamedPolicy
from mirror.rules.identities import AccessKey, Holder, Password, Role, holder_arn
from mirror.web.aws.call import Call

PAGE: Final = 100  # MaxItems where the caller names none
ROOT_NAME: Final = "root"
_NOT_KEPT: Final = ("PermissionsBoundary", "Tags")
Output = Mapping[str, Any]


def field_of(kind: str) -> str:
    """Name the member that names a user or a role."""
    return f"{kind.title()}Name"


def check_kept(call: Call, members: Sequence[str] = _NOT_KEPT) -> None:
    """Refuse what would be accepted and then not kept."""
    for member in members:
        if call.input.get(member):
            raise IamValidationError(f"{member} is not supported by this registry")


def page(call: Call, key: str, found: Iterable[tuple[str, Any]]) -> Output:
    """Return one page of `found`, (sort key, item): MaxItems of those behind Marker."""
    marker, count = call.input.get("Marker", ""), call.input.get("MaxItems", PAGE)
    left = sorted((item for item in found if item[0] > marker), key=lambda item: item[0])
    shown = {key: [item for _, item in left[:count]], "IsTruncated": len(left) > count}
    return {**shown, "Marker": left[count - 1][0]} if len(left) > count else shown


def shown_holder(account: str, holder: Holder) -> dict[str, Any]:
    """Show a user or a role."""
    what = "Role" if isinstance(holder, Role) else "User"
    shown: dict[str, Any] = {
        "Path": holder.path,
        f"{what}Name": holder.name,
        f"{what}Id": holder.id,
        "Arn": holder_arn(account, holder),
        "CreateDate": holder.created_at,
    }
    if isinstance(holder, Role):
        shown["AssumeRolePolicyDocument"] = holder.trust
        shown["MaxSessionDuration"] = holder.max_session_s
        shown["Description"] = holder.description or None
    return shown


def shown_key(key: AccessKey) -> dict[str, Any]:
    """Show an access key, without its secret."""
    status = "Active" if key.active else "Inactive"
    return {
        "UserName": key.user or ROOT_NAME,
        "AccessKeyId": key.id,
        "Status": status,
        "CreateDate": key.created_at,
    }


def shown_policy(named: NamedPolicy) -> dict[str, Any]:
    """Show a managed policy, without its text."""
    policy = named.policy
    return {
        "PolicyName": policy.name,
        "PolicyId": policy.id,
        "Arn": named.arn,
        "Path": policy.path,
        "DefaultVersionId": VERSION,
        "AttachmentCount": named.attachments,
        "PermissionsBoundaryUsageCount": 0,
        "IsAttachable": True,
        "Description": policy.description or None,
        "CreateDate": policy.created_at,
        "UpdateDate": policy.created_at,
    }


def shown_login(name: str, password: Password) -> Output:
    """Show a login profile."""
    profile = {"UserName": name, "CreateDate": password.created_at, "PasswordResetRequired": False}
    return {"LoginProfile": profile}
