"""Resource policies: of repositories and of registries, kept as they were sent, given back printed again.

Source: ECR.md 2.1 and 2.2: Jackson's pretty style. What they decide is the authority's.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from mirror.aws.errors import (
    InvalidParameter,
    RegistryPolicyNotFound,
    RepositoryPolicyNotFound,
    constraint,
)
from mirror.aws.principals import Principal
from mirror.oci.names import Registry, Repository
from mirror.registry.account_settings import SCOPE, AccountSettings
from mirror.registry.authority import REGISTRY_POLICY, Authority, Circumstances
from mirror.registry.repositories import Repositories
from mirror.rules.access import PolicyInvalid, PolicyKind, parse_policy
from mirror.rules.access.echo import pretty
from mirror.rules.repositories import RepositorySettings
from mirror.store.documents import Documents, Edit

SET: Final = "ecr:SetRepositoryPolicy"
PUBLIC_SET: Final = "ecr-public:SetRepositoryPolicy"
_LOCKED_OUT: Final = "The policy would keep you from setting another one. Use force to set it anyway."


class RepositoryPolicies:
    """The policies of repositories; `set` is of private ones."""

    def __init__(self, repositories: Repositories, authority: Authority) -> None:
        self._repositories = repositories
        self._authority = authority

    def get(self, repository: Repository) -> str:
        """Return the policy, printed. Raises RepositoryPolicyNotFound, RepositoryNotFound."""
        return pretty(self._policy(repository, self._repositories.settings(repository)))

    async def set(
        self, repository: Repository, text: str, principal: Principal, now: Circumstances, *, force: bool
    ) -> str:
        """Set the policy; return it printed.

        Raises InvalidParameter, also where `principal` could not set another one afterwards, unless `force`.
        """
        check_policy(text, "repository")
        if not force:
            self.check_not_locked_out(repository, text, principal, now)
        await self._repositories.change(repository, lambda settings: replace(settings, policy=text))
        return pretty(text)

    async def delete(self, repository: Repository) -> str:
        """Delete the policy; return what it was. Raises RepositoryPolicyNotFound."""
        deleted: list[str] = []

        def without(settings: RepositorySettings) -> RepositorySettings:
            deleted[:] = [self._policy(repository, settings)]
            return replace(settings, policy="")

        await self._repositories.change(repository, without)
        return pretty(deleted[0])

    def _policy(self, repository: Repository, settings: RepositorySettings) -> str:
        if not settings.policy:
            raise RepositoryPolicyNotFound(self._repositories.name(repository), repository.registry)
        return settings.policy

    def check_not_locked_out(self, repository: Repository, text: str, principal: Principal, now: Circumstances) -> None:
        """Raise InvalidParameter where a policy would keep `principal` from setting another one.

        The authority decides about the repository as it would be. Raises PolicyInvalid for a text that is no policy.
        """
        action = PUBLIC_SET if repository.registry.public else SET
        settings = self._authority.settings(repository)
        proposed = None if settings is None else replace(settings, policy=text)
        if not self._authority.decide_as(principal, action, repository, proposed, now).allowed:
            raise constraint("PolicyText", _LOCKED_OUT)


class RegistryPolicies:
    """The policies of private registries, one each."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._account_settings = AccountSettings(documents)

    def get(self, registry: Registry) -> str:
        """Return the policy, printed. Raises RegistryPolicyNotFound."""
        found = self._documents.get(registry, REGISTRY_POLICY)
        if found is None:
            raise RegistryPolicyNotFound(registry)
        return pretty(found.decode())

    async def put(self, registry: Registry, text: str) -> str:
        """Set the policy; return it printed. Raises InvalidParameter for one that the account's scope has not."""
        is_v1 = self._account_settings.get(registry, SCOPE) == "V1"
        check_policy(text, "registry-v1" if is_v1 else "registry-v2")
        await self._documents.write([Edit(registry, REGISTRY_POLICY, "", text.encode())])
        return pretty(text)

    async def delete(self, registry: Registry) -> str:
        """Delete the policy; return what it was. Raises RegistryPolicyNotFound."""
        text = self.get(registry)
        await self._documents.write([Edit(registry, REGISTRY_POLICY, "", None)])
        return text


_REGISTRY_KINDS: Final[Sequence[PolicyKind]] = ("registry-v1", "registry-v2")


def check_policy(text: str, kind: PolicyKind) -> None:
    """Raise InvalidParameter, in ECR's words and with the reason behind them, for a text that is no such policy."""
    whose = "registry" if kind in _REGISTRY_KINDS else "repository"
    try:
        parse_policy(text, kind)
    except PolicyInvalid as error:
        said = constraint("PolicyText", f"Invalid {whose} policy provided").message
        raise InvalidParameter(f"{said}: {error}") from None
