"""Authorization of the AWS APIs: which action on which resources an operation is, put to the authority.

Source: Service Authorization Reference for ECR, ECR Public, IAM and STS; ECR.md 2.1. Asked before anything is looked
up: a repository that is not there is asked about by its ARN all the same, so a refusal tells nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mirror.aws.arns import parse_arn, registry_arn, repository_arn
from mirror.oci.errors import RegistryError
from mirror.oci.names import Registry, Repository
from mirror.registry.authority import Authority
from mirror.registry.repositories import Repositories
from mirror.rules.access.actions import TAG_ACTION, WITHOUT_RESOURCE
from mirror.rules.repositories import is_private_name
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

_PULLING: Final = frozenset({"BatchGetImage"})  # may have an image fetched from the upstream that a name means

Conditions = Mapping[str, Sequence[str]]
_About = tuple[Registry, str, Repository | None]


@dataclass(frozen=True, slots=True)
class Demand:
    """One right that a call needs: `action` on the resource `arn` of `registry`; `repository` is what that names."""

    action: str
    registry: Registry
    arn: str
    repository: Repository | None = None
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
            self._authority.check_arn(
                call.principal,
                demand.action,
                demand.registry,
                demand.arn,
                now,
                repository=demand.repository,
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
        for owner, arn, repository in self._about(call, action, registry):
            yield Demand(action, owner, arn, repository, conditions)
            if call.operation == "CreateRepository" and call.input.get("tags"):
                yield Demand(f"{call.service}:{_TAG}", owner, arn, repository, conditions)
        if is_public and call.operation == "GetAuthorizationToken":
            yield Demand(BEARER, registry, ALL)

    def _about(self, call: Call, action: str, registry: Registry) -> Iterator[_About]:
        """List what a call is about: registry, ARN, and the repository where it is one."""
        given, region = call.input, self._authority.region
        if action in WITHOUT_RESOURCE:
            yield registry, ALL, None
        elif call.operation in _ABOUT_REGISTRY:
            yield registry, registry_arn(registry, region), None
        elif "resourceArn" in given:
            yield self._named_by(given["resourceArn"], registry)
        elif "repositoryName" in given:
            yield self._named(registry, given["repositoryName"], pulls=call.operation in _PULLING)
        elif "repositoryNames" in given:
            for name in dict.fromkeys(given["repositoryNames"]):
                yield self._named(registry, name)
        else:
            yield registry, repository_arn(registry, region, ALL), None

    def _named(self, registry: Registry, name: str, *, pulls: bool = False) -> _About:
        """Return what a name means, under its one true name: of an alias no policy speaks."""
        if not is_private_name(name):
            return registry, repository_arn(registry, self._authority.region, name), None
        resolve = self._repositories.pulled if pulls else self._repositories.meant
        repository = resolve(registry, name)
        arn = repository_arn(registry, self._authority.region, self._repositories.name(repository))
        return registry, arn, repository

    def _named_by(self, text: str, registry: Registry) -> _About:
        """Return what an ARN names; one that names nothing is for those who may do this to everything."""
        arn = parse_arn(text)
        if arn is None or not arn.account:
            return registry, text, None
        return self._named(Registry(arn.account, registry.public), arn.resource.removeprefix("repository/"))


_TAG: Final = TAG_ACTION.partition(":")[2]


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
