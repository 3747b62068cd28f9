"""Authorization of the AWS APIs: which action on which resources an operation is, put to the authority.

Source: Service Authorization Reference for ECR, ECR Public, IAM and STS; ECR.md 2.1. Asked before anything is looked
up: a repository that is not there is asked about by its ARN all the same, so a refusal tells nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mirror.aws.arns import parse_arn, registry_arn, repository_arn
from mirror.oci.errors import RegistryError
from mirror.oci.names import Registry
from mirror.registry.authority import Authority
from mirror.registry.repositories import Repositories
from mirror.rules.access.actions import TAG_ACTION, WITHOUT_RESOURCE
from mirror.rules.repositories import check_private_name
from mirror.web.aws.call import Call
from mirror.web.aws.iam import Iam
from mirror.web.aws.sts import SELF_DECIDED, Sts
from mirror.web.ecr.scope import circumstances, registry_of
from mirror.web.ecr.subjects import RegistryOf

ALL: Final = "*"
BEARER: Final = "sts:GetServiceBearerToken"  # what a token of ECR Public needs besides
# Of the public service: about the registry itself.
_ABOUT_REGISTRY: Final = frozenset({"DescribeRegistries", "GetRegistryCatalogData", "PutRegistryCatalogData"})
_TAGGING: Final = frozenset({"CreateRepository", "TagResource", "UntagResource"})
_CALLED: Final = {"ListImageReferrers": "BatchGetImage"}  # whose right is called otherwise (ECR API reference)
_SETTING: Final = frozenset({"GetAccountSetting", "PutAccountSetting"})

Conditions = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Demand:
    """One right that a call needs: `action` on the resource `arn` of `registry`. `name` is the repository's, or ""."""

    action: str
    registry: Registry
    arn: str
    name: str = ""
    conditions: Conditions = field(default_factory=dict)


class Authorizer:
    """Lets calls through or raises AccessDenied. `public_registry_of` finds the public registry of a call."""

    def __init__(
        self,
        authority: Authority,
        repositories: Repositories,
        public_registry_of: RegistryOf,
        iam: Iam,
        sts: Sts,
    ) -> None:
        self._authority = authority
        self._repositories = repositories
        self._public_registry_of = public_registry_of
        self._resource_of: Mapping[str, Callable[[Call], str]] = {"iam": iam.resource_arn, "sts": sts.resource_arn}

    def __call__(self, call: Call) -> None:
        """Raise AccessDenied unless the caller has every right that the call needs."""
        if (call.service, call.operation) in SELF_DECIDED:
            return
        now = circumstances(call)
        for demand in self.demands(call):
            is_named = bool(demand.name) and _is_name(demand.name)
            repository = self._repositories.find(demand.registry, demand.name) if is_named else None
            self._authority.check_arn(
                call.principal,
                demand.action,
                demand.registry,
                demand.arn,
                now,
                repository=repository,
                extra=demand.conditions,
            )

    def resources(self, call: Call) -> list[str]:
        """Name what a call is about, for the audit; a call that cannot be read is about nothing."""
        try:
            return list(dict.fromkeys(demand.arn for demand in self.demands(call)))
        except RegistryError:
            return []

    def demands(self, call: Call) -> Iterator[Demand]:
        """List the rights that a call needs. Raises what the public registry's finder does."""
        action = f"{call.service}:{_CALLED.get(call.operation, call.operation)}"
        conditions = _conditions(call)
        resource_of = self._resource_of.get(call.service)
        if resource_of is not None:
            yield Demand(action, Registry(call.principal.account), resource_of(call))
            return
        is_public = call.service == "ecr-public"
        registry = self._public_registry_of(call) if is_public else registry_of(call)
        for owner, arn, name in self._about(call, action, registry):
            yield Demand(action, owner, arn, name, conditions)
            if call.operation == "CreateRepository" and call.input.get("tags"):
                yield Demand(f"{call.service}:{_TAG}", owner, arn, name, conditions)
        if is_public and call.operation == "GetAuthorizationToken":
            yield Demand(BEARER, registry, ALL)

    def _about(self, call: Call, action: str, registry: Registry) -> Iterator[tuple[Registry, str, str]]:
        """List what a call is about: registry, ARN, and name where it is a repository."""
        given, region = call.input, self._authority.region
        if action in WITHOUT_RESOURCE:
            yield registry, ALL, ""
        elif call.operation in _ABOUT_REGISTRY:
            yield registry, registry_arn(registry, region), ""
        elif "resourceArn" in given:
            yield _named_by(given["resourceArn"], registry)
        elif "repositoryName" in given:
            yield registry, repository_arn(registry, region, given["repositoryName"]), given["repositoryName"]
        elif "repositoryNames" in given:
            for name in dict.fromkeys(given["repositoryNames"]):
                yield registry, repository_arn(registry, region, name), name
        else:
            yield registry, repository_arn(registry, region, ALL), ""


_TAG: Final = TAG_ACTION.partition(":")[2]


def _named_by(text: str, registry: Registry) -> tuple[Registry, str, str]:
    """Return what an ARN names; one that names nothing is for those who may do this to everything."""
    arn = parse_arn(text)
    if arn is None or not arn.account:
        return registry, text, ""
    return Registry(arn.account, registry.public), text, arn.resource.removeprefix("repository/")


def _is_name(text: str) -> bool:
    """Tell whether a text can be a repository's name, of either service: only those are looked up."""
    try:
        check_private_name(text)
    except RegistryError:
        return False
    return True


def _conditions(call: Call) -> Conditions:
    """Return the condition keys that a call has of its own."""
    if call.operation in _TAGGING and call.service in ("ecr", "ecr-public"):
        tags = {tag["Key"]: tag.get("Value", "") for tag in call.input.get("tags", ()) if "Key" in tag}
        found: dict[str, Sequence[str]] = {f"aws:requesttag/{key.lower()}": (value,) for key, value in tags.items()}
        keys = (*tags, *call.input.get("tagKeys", ()))
        return {**found, "aws:tagkeys": keys} if keys else found
    if call.operation in _SETTING:
        return {"ecr:accountsetting": (call.input["name"],)}
    return {}
