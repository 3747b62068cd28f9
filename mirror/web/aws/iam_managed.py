"""IAM's operations on managed policies and account aliases, as handlers for the wire.

Source: IAM API reference. Every operation acts in the caller's own account.
"""

from collections.abc import Callable, Mapping

from mirror.aws.errors import NoSuchEntity
from mirror.registry.identities import Identities
from mirror.registry.identities.managed import VERSION
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.aws.iam_shapes import Output, check_kept, page, shown_policy


class ManagedIam:
    """The handlers of managed policies and aliases."""

    def __init__(self, identities: Identities, clock: Callable[[], float]) -> None:
        self._accounts = identities.accounts
        self._managed = identities.managed
        self._clock = clock

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        """Return the handler of each operation, by service and name."""
        return {
            ("iam", "CreatePolicy"): self._create_policy,
            ("iam", "GetPolicy"): self._get_policy,
            ("iam", "GetPolicyVersion"): self._get_version,
            ("iam", "ListPolicies"): self._list_policies,
            ("iam", "DeletePolicy"): self._delete_policy,
            ("iam", "CreateAccountAlias"): self._create_alias,
            ("iam", "ListAccountAliases"): self._list_aliases,
            ("iam", "DeleteAccountAlias"): self._delete_alias,
        }

    async def _create_policy(self, call: Call) -> Output:
        check_kept(call)
        given = call.input
        made = await self._managed.create(
            call.principal.account,
            given["PolicyName"],
            given["PolicyDocument"],
            self._clock(),
            given.get("Path", "/"),
            given.get("Description", ""),
        )
        return {"Policy": shown_policy(made)}

    async def _get_policy(self, call: Call) -> Output:
        return {"Policy": shown_policy(self._managed.find(call.principal.account, call.input["PolicyArn"]))}

    async def _get_version(self, call: Call) -> Output:
        arn, version = call.input["PolicyArn"], call.input["VersionId"]
        policy = self._managed.find(call.principal.account, arn).policy
        if version != VERSION:
            raise NoSuchEntity(f"Policy {arn} version {version} does not exist or is not attachable.")
        shown = {"VersionId": VERSION, "IsDefaultVersion": True, "CreateDate": policy.created_at}
        return {"PolicyVersion": {**shown, "Document": policy.document}}

    async def _list_policies(self, call: Call) -> Output:
        given = call.input
        found = [
            (named.arn, shown_policy(named))
            for named in self._managed.of(call.principal.account, given.get("Scope", "All"))
            if f"{named.policy.path}{named.policy.name}".startswith(given.get("PathPrefix", "/"))
            and (named.attachments or not given.get("OnlyAttached"))
        ]
        return page(call, "Policies", found)

    async def _delete_policy(self, call: Call) -> Output:
        await self._managed.delete(call.principal.account, call.input["PolicyArn"])
        return {}

    async def _create_alias(self, call: Call) -> Output:
        await self._accounts.set_alias(call.principal.account, call.input["AccountAlias"])
        return {}

    async def _list_aliases(self, call: Call) -> Output:
        alias = self._accounts.alias(call.principal.account)
        return page(call, "AccountAliases", [(alias, alias)] if alias else [])

    async def _delete_alias(self, call: Call) -> Output:
        await self._accounts.remove_alias(call.principal.account, call.input["AccountAlias"])
        return {}
