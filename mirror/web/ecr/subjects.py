"""Subjects: the repository that a call about images or layers is about.

Both services find it in `registryId` and `repositoryName`; only what a registry id may be differs, so that is given.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mirror.oci.names import Registry, Repository
from mirror.registry.repositories import Repositories
from mirror.web.aws.call import Call

RegistryOf = Callable[[Call], Registry]


@dataclass(frozen=True, slots=True)
class Subject:
    """A repository that is there, and the name by which the caller knows it."""

    repository: Repository
    name: str

    @property
    def registry(self) -> Registry:
        return self.repository.registry

    @property
    def shape(self) -> dict[str, str]:
        """The two members that most answers begin with."""
        return {"registryId": self.registry.account, "repositoryName": self.name}


class Subjects:
    """Finds the repositories of calls."""

    def __init__(self, repositories: Repositories, registry_of: RegistryOf) -> None:
        self._repositories = repositories
        self.registry_of = registry_of

    def of(self, call: Call) -> Subject:
        """Return the repository that a call names. Raises RepositoryNotFound."""
        name = call.input["repositoryName"]
        return Subject(self._repositories.get(self.registry_of(call), name), name)
