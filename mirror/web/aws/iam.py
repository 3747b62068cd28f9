"""IAM's operations, as handlers for the wire: users, roles, access keys, policies, aliases, login profiles.

Source: IAM API reference. Every operation acts in the caller's own account. Whether the caller may is the dispatcher's
to ask, about `resource_arn`. What would be accepted and then not kept (permission boundaries, tags) is refused.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from mirror.aws.arns import policy_arn, role_arn, root_arn, user_arn
from mirror.aws.errors import IamValidationError
from mirror.registry.identities import Identities
from mirror.rules.identities import ROLE_SESSION_S_DEFAULT, Holder, HolderKind, policy_name_of
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.aws.iam_managed import ManagedIam
from mirror.web.aws.iam_shapes import (
    ROOT_NAME,
    Output,
    check_kept,
    field_of,
    page,
    shown_holder,
    shown_key,
    shown_login,
)

_KINDS: Final[tuple[HolderKind, ...]] = ("user", "role")
_NO_USER: Final = "Must specify userName when calling with non-User credentials"
# Operations that are about the caller where they name no user.
_ABOUT_CALLER: Final = frozenset(
    {"GetUser", "CreateAccessKey", "ListAccessKeys", "UpdateAccessKey", "DeleteAccessKey"}
    | {"CreateLoginProfile", "GetLoginProfile", "DeleteLoginProfile"}
)


class Iam:
    """The handlers of IAM over the identities of one node."""

    def __init__(self, identities: Identities, clock: Callable[[], float] = time.time) -> None:
        self._identities = identities
        self._holders = identities.holders
        self._keys = identities.keys
        self._logins = identities.logins
        self._clock = clock

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        """Return the handler of each operation, by service and name."""
        found: dict[str, Handler] = {
            "CreateUser": self._create_user,
            "GetUser": self._get_user,
            "ListUsers": self._list_users,
            "CreateRole": self._create_role,
            "GetRole": self._get_role,
            "ListRoles": self._list_roles,
            "UpdateAssumeRolePolicy": self._update_trust,
            "CreateAccessKey": self._create_key,
            "ListAccessKeys": self._list_keys,
            "UpdateAccessKey": self._update_key,
            "DeleteAccessKey": self._delete_key,
            "CreateLoginProfile": self._create_login,
            "GetLoginProfile": self._get_login,
            "UpdateLoginProfile": self._update_login,
            "DeleteLoginProfile": self._delete_login,
        }
        for kind in _KINDS:
            what = kind.title()
            found |= {
                f"Delete{what}": partial(self._delete_holder, kind),
                f"Put{what}Policy": partial(self._put_inline, kind),
                f"Get{what}Policy": partial(self._get_inline, kind),
                f"List{what}Policies": partial(self._list_inline, kind),
                f"Delete{what}Policy": partial(self._delete_inline, kind),
                f"Attach{what}Policy": partial(self._attach, kind),
                f"Detach{what}Policy": partial(self._detach, kind),
                f"ListAttached{what}Policies": partial(self._list_attached, kind),
            }
        own: dict[tuple[Service, str], Handler] = {("iam", name): handler for name, handler in found.items()}
        return {**own, **ManagedIam(self._identities, self._clock).handlers()}

    def resource_arn(self, call: Call) -> str:
        """Name what a call is about, as policies do; `*` where it is about no single thing."""
        account, given = call.principal.account, call.input
        name = given.get("UserName")
        if name is None and call.operation in _ABOUT_CALLER:
            if call.principal.kind == "root":
                return root_arn(account)
            name = call.principal.name if call.principal.kind == "user" else None
        if name is not None:
            user = self._identities.entities.user(account, name)
            return user_arn(account, user.path if user is not None else given.get("Path", "/"), name)
        if "RoleName" in given:
            role = self._identities.entities.role(account, given["RoleName"])
            return role_arn(account, role.path if role is not None else given.get("Path", "/"), given["RoleName"])
        if "PolicyName" in given:
            return policy_arn(account, given.get("Path", "/"), given["PolicyName"])
        return str(given.get("PolicyArn", "*"))

    # Users and roles.

    async def _create_user(self, call: Call) -> Output:
        check_kept(call)
        account, given = call.principal.account, call.input
        user = await self._holders.create_user(account, given["UserName"], self._clock(), given.get("Path", "/"))
        return {"User": shown_holder(account, user)}

    async def _get_user(self, call: Call) -> Output:
        account = call.principal.account
        name = self._user(call)
        if name:
            return {"User": shown_holder(account, self._holders.user(account, name))}
        found = self._identities.entities.account(account)
        created_at = found.created_at if found is not None else 0.0
        root = {"UserName": ROOT_NAME, "UserId": account, "Arn": root_arn(account)}
        return {"User": {**root, "Path": "/", "CreateDate": created_at}}

    async def _list_users(self, call: Call) -> Output:
        return self._list_holders(call, "Users", self._holders.users(call.principal.account))

    async def _create_role(self, call: Call) -> Output:
        check_kept(call)
        account, given = call.principal.account, call.input
        role = await self._holders.create_role(
            account,
            given["RoleName"],
            given["AssumeRolePolicyDocument"],
            self._clock(),
            given.get("Path", "/"),
            given.get("Description", ""),
            given.get("MaxSessionDuration", ROLE_SESSION_S_DEFAULT),
        )
        return {"Role": shown_holder(account, role)}

    async def _get_role(self, call: Call) -> Output:
        return {
            "Role": shown_holder(
                call.principal.account, self._holders.role(call.principal.account, call.input["RoleName"])
            )
        }

    async def _list_roles(self, call: Call) -> Output:
        return self._list_holders(call, "Roles", self._holders.roles(call.principal.account))

    async def _update_trust(self, call: Call) -> Output:
        await self._holders.update_trust(call.principal.account, call.input["RoleName"], call.input["PolicyDocument"])
        return {}

    async def _delete_holder(self, kind: HolderKind, call: Call) -> Output:
        await self._holders.delete(call.principal.account, kind, call.input[field_of(kind)])
        return {}

    def _list_holders(self, call: Call, key: str, holders: Iterable[Holder]) -> Output:
        prefix, account = call.input.get("PathPrefix", "/"), call.principal.account
        found = [
            (one.name, shown_holder(account, one)) for one in holders if f"{one.path}{one.name}".startswith(prefix)
        ]
        return page(call, key, found)

    # What they hold.

    async def _put_inline(self, kind: HolderKind, call: Call) -> Output:
        given = call.input
        await self._holders.put_inline(
            call.principal.account, kind, given[field_of(kind)], given["PolicyName"], given["PolicyDocument"]
        )
        return {}

    async def _get_inline(self, kind: HolderKind, call: Call) -> Output:
        name, policy = call.input[field_of(kind)], call.input["PolicyName"]
        text = self._holders.inline(call.principal.account, kind, name, policy)
        return {field_of(kind): name, "PolicyName": policy, "PolicyDocument": text}

    async def _list_inline(self, kind: HolderKind, call: Call) -> Output:
        holder = self._holders.find(call.principal.account, kind, call.input[field_of(kind)])
        return page(call, "PolicyNames", [(name, name) for name in holder.inline])

    async def _delete_inline(self, kind: HolderKind, call: Call) -> Output:
        given = call.input
        await self._holders.delete_inline(call.principal.account, kind, given[field_of(kind)], given["PolicyName"])
        return {}

    async def _attach(self, kind: HolderKind, call: Call) -> Output:
        await self._holders.attach(call.principal.account, kind, call.input[field_of(kind)], call.input["PolicyArn"])
        return {}

    async def _detach(self, kind: HolderKind, call: Call) -> Output:
        await self._holders.detach(call.principal.account, kind, call.input[field_of(kind)], call.input["PolicyArn"])
        return {}

    async def _list_attached(self, kind: HolderKind, call: Call) -> Output:
        holder = self._holders.find(call.principal.account, kind, call.input[field_of(kind)])
        found = [(arn, {"PolicyName": policy_name_of(arn), "PolicyArn": arn}) for arn in holder.attached]
        return page(call, "AttachedPolicies", found)

    # Access keys and passwords.

    async def _create_key(self, call: Call) -> Output:
        user = self._user(call)
        key, secret = await self._keys.create(call.principal.account, user, self._clock())
        return {"AccessKey": {**shown_key(key), "SecretAccessKey": secret}}

    async def _list_keys(self, call: Call) -> Output:
        found = self._keys.of(call.principal.account, self._user(call))
        return page(call, "AccessKeyMetadata", [(key.id, shown_key(key)) for key in found])

    async def _update_key(self, call: Call) -> Output:
        status = call.input["Status"]
        if status not in ("Active", "Inactive"):
            raise IamValidationError(f"{status} is not a status that a key can be given: Active or Inactive")
        await self._keys.switch(
            call.principal.account, self._user(call), call.input["AccessKeyId"], active=status == "Active"
        )
        return {}

    async def _delete_key(self, call: Call) -> Output:
        await self._keys.delete(call.principal.account, self._user(call), call.input["AccessKeyId"])
        return {}

    async def _create_login(self, call: Call) -> Output:
        name, password = self._user_with_password(call)
        made = await self._logins.create(call.principal.account, name, password, self._clock())
        return shown_login(name, made)

    async def _get_login(self, call: Call) -> Output:
        name = self._user(call)
        return shown_login(name, self._logins.find(call.principal.account, name))

    async def _update_login(self, call: Call) -> Output:
        name, password = self._user_with_password(call)
        if password:
            await self._logins.update(call.principal.account, name, password, self._clock())
        return {}

    async def _delete_login(self, call: Call) -> Output:
        await self._logins.delete(call.principal.account, self._user(call))
        return {}

    def _user_with_password(self, call: Call) -> tuple[str, str]:
        if call.input.get("PasswordResetRequired"):
            raise IamValidationError("PasswordResetRequired is not supported: there is no console to reset it in")
        return self._user(call), call.input.get("Password", "")

    def _user(self, call: Call) -> str:
        """Return the user that the call names, else the caller; "" for root."""
        name = call.input.get("UserName")
        if name is not None:
            return str(name)
        if call.principal.kind not in ("user", "root"):
            raise IamValidationError(_NO_USER)
        return call.principal.name
