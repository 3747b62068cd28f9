"""What the handlers share: pushes, our own addresses, the clock on slow clients, who may do the second thing.

A handler takes a request and the visit that admission made of it.
"""

from dataclasses import dataclass

from mirror.aws.errors import RepositoryNotFound
from mirror.oci.names import Repository, parse_name
from mirror.registry.push import Push
from mirror.registry.replicas import Replicas
from mirror.registry.repositories import Repositories
from mirror.rules.routing import Routing
from mirror.store.index import Index
from mirror.web.admission import Admission
from mirror.web.gate import read_query
from mirror.web.slow import SlowClock
from mirror.web.visit import Visit


@dataclass(frozen=True, slots=True)
class Door:
    """The node as the handlers see it. `public_url` has no slash at its end."""

    admission: Admission
    routing: Routing
    index: Index
    push: Push
    replicas: Replicas
    repositories: Repositories
    slow: SlowClock
    public_url: str

    def claimable(self, visit: Visit) -> bool:
        """Tell whether a caller who looks may be about to make this name its own by a first push.

        A push begins by HEADs: they must not fail because the root upstream does, nor tell it our blobs' digests.
        """
        registry, name = visit.registry, visit.route.name
        own = Repository(registry, "", name)
        return (
            not registry.public
            and self.routing.claimable(registry, name, read_query(visit.query).get("ns") if visit.query else None)
            and not self.index.owned(registry, name)
            and self.admission.may(visit, "start_upload", own)
            and self.can_make(visit, own)
        )

    def can_make(self, visit: Visit, repository: Repository) -> bool:
        """Tell whether a push would make the repository that it needs."""
        return self.push.makes(repository) and self.admission.may_create(visit, repository)

    async def check_there(self, visit: Visit) -> None:
        """Raise RepositoryNotFound unless the repository to be written is there, or this push makes it."""
        repository = visit.repository
        if visit.origin:
            await self.repositories.make(repository, "REPLICATION")
        if repository.owned and self.index.settings(repository) is None and not self.can_make(visit, repository):
            raise RepositoryNotFound(self.routing.address(repository), visit.registry)

    def source(self, visit: Visit, name: str) -> Repository:
        """Return the repository that a mount's `from` names. Raises NameInvalid."""
        return self.routing.route(visit.registry, self._within(visit, parse_name(name)), None, self.index.owned)

    def _within(self, visit: Visit, name: str) -> str:
        """Take the alias off a public name."""
        return name.partition("/")[2] if visit.place.public else name

    def address(self, path: str) -> str:
        """Return the address of a path of ours: relative, or absolute where a public URL is configured."""
        return self.public_url + path
