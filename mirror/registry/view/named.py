"""Which repositories an operator means: one by the name that clients pull by, or all that a glob matches."""

from collections.abc import Iterator

from mirror.aws.errors import RepositoryNotFound
from mirror.oci.names import Registry, Repository, parse_name
from mirror.registry.repositories import Repositories
from mirror.rules.globs import matches


def named_repository(repositories: Repositories, registry: Registry, name: str) -> Repository:
    """Return the repository that a pull of `name` reads. Raises NameInvalid, RepositoryNotFound."""
    repository = repositories.pulled(registry, parse_name(name))
    if not repositories.exists(repository):
        raise RepositoryNotFound(name, registry)
    return repository


def is_glob(name: str) -> bool:
    """Tell whether `name` may mean several repositories: it has a `*`, or is empty and means all."""
    return not name or "*" in name


def named_repositories(
    repositories: Repositories, registry: Registry, name: str, last: Repository | None = None
) -> Iterator[Repository]:
    """List the repositories that `name` means, those of a glob behind `last`.

    Raises NameInvalid, RepositoryNotFound.
    """
    if not is_glob(name):
        yield named_repository(repositories, registry, name)
        return
    for repository in repositories.all(registry, last):
        if not name or matches((name,), repositories.name(repository)):
            yield repository
