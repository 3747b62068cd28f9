"""The operations of ECR Public, all but GetAuthorizationToken, which is with the other tokens."""

from collections.abc import Mapping

from mirror.registry.gallery import Gallery
from mirror.registry.policies import RepositoryPolicies
from mirror.registry.public_registries import PublicRegistries
from mirror.web.aws.call import Handler, Service
from mirror.web.ecr.contents import Registries, shared_handlers
from mirror.web.ecr.subjects import Subjects
from mirror.web.ecr_public.catalog_data import RepositoryCatalog
from mirror.web.ecr_public.policies import PublicPolicies
from mirror.web.ecr_public.registries import RegistryCards
from mirror.web.ecr_public.repositories import PublicRepositories
from mirror.web.ecr_public.scope import registries_of
from mirror.web.ecr_public.shapes import Shapes
from mirror.web.ecr_public.tags import ImageTags, PublicTags


def public_handlers(
    registries: Registries, public: PublicRegistries, gallery: Gallery
) -> Mapping[tuple[Service, str], Handler]:
    """Return the handlers of 22 operations."""
    repositories = registries.repositories
    registry_of = registries_of(public)
    subjects = Subjects(repositories, registry_of)
    policies = RepositoryPolicies(repositories, registries.authority)
    shapes = Shapes(repositories, public, registries.hosts)
    return {
        **shared_handlers("ecr-public", subjects, registries),
        **PublicRepositories(registry_of, repositories, public, gallery, shapes).handlers(),
        **PublicPolicies(subjects, repositories, policies).handlers(),
        **PublicTags(repositories).handlers(),
        **ImageTags(subjects, registries.images).handlers(),
        **RepositoryCatalog(subjects, gallery, shapes).handlers(),
        **RegistryCards(public, gallery, shapes).handlers(),
    }
