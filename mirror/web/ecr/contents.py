"""What the two services do with the contents of repositories: images and layers; of private ones, lifecycles too.

The lists of handlers stand here; what each needs is given by whoever builds the node.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mirror.registry.authority import Authority
from mirror.registry.backfills import Backfills
from mirror.registry.discovery import Discovery
from mirror.registry.identities import Identities, Tokens
from mirror.registry.image_pulls import ImagePulls
from mirror.registry.layers import Layers as RegistryLayers
from mirror.registry.lifecycles import Lifecycles
from mirror.registry.pull import PullManifests
from mirror.registry.pull_blobs import PullBlobs
from mirror.registry.pull_times import PullTimes
from mirror.registry.push import Push
from mirror.registry.repositories import Repositories
from mirror.rules.hosts import Hosts
from mirror.rules.routing import Routing
from mirror.store.catalog import Catalog
from mirror.store.images import Images
from mirror.store.index import Index
from mirror.store.replications import Replications
from mirror.web.aws.call import Handler, Service
from mirror.web.ecr.deletion import Deletion
from mirror.web.ecr.downloads import Downloads, DownloadUrls
from mirror.web.ecr.image_details import ImageDetails
from mirror.web.ecr.images import GetImages, ListImages, PutImages
from mirror.web.ecr.layers import Layers
from mirror.web.ecr.lifecycle import Lifecycle
from mirror.web.ecr.referrers import Referrers
from mirror.web.ecr.scope import registry_of
from mirror.web.ecr.storage_class import StorageClass
from mirror.web.ecr.subjects import Subjects


@dataclass(frozen=True, slots=True)
class Registries:
    """The registries of the node, as the handlers of contents see them."""

    index: Index
    catalog: Catalog
    images: Images
    replications: Replications
    backfills: Backfills
    repositories: Repositories
    routing: Routing
    authority: Authority
    push: Push
    manifests: PullManifests
    pull_times: PullTimes
    blobs: PullBlobs
    discovery: Discovery
    lifecycles: Lifecycles
    hosts: Hosts
    identities: Identities
    tokens: Tokens

    def downloads(self) -> Downloads:
        """Return what answers `/layers/<token>`."""
        return Downloads(self.tokens, self.repositories, self.authority, self.blobs)


def shared_handlers(
    service: Service, subjects: Subjects, registries: Registries
) -> Mapping[tuple[Service, str], Handler]:
    """Return the handlers that both services have, for one of them."""
    index, images, push = registries.index, registries.images, registries.push
    return {
        **PutImages(service, subjects, index, images, push).handlers(),
        **ImageDetails(service, subjects, index, images).handlers(),
        **Deletion(service, subjects, index, images).handlers(),
        **Layers(service, subjects, RegistryLayers(index, images, push)).handlers(),
    }


def private_handlers(registries: Registries) -> Mapping[tuple[Service, str], Handler]:
    """Return the handlers of ECR's operations on images, layers, referrers and lifecycle policies."""
    subjects = Subjects(registries.repositories, registry_of)
    index, images = registries.index, registries.images
    pulls = ImagePulls(
        index, registries.repositories, registries.authority, registries.manifests, registries.pull_times
    )
    urls = DownloadUrls(
        subjects,
        index,
        images,
        registries.blobs,
        hosts=registries.hosts,
        identities=registries.identities,
        tokens=registries.tokens,
    )
    return {
        **shared_handlers("ecr", subjects, registries),
        **GetImages(subjects, pulls).handlers(),
        **ListImages(subjects, images).handlers(),
        **StorageClass(subjects, index, images).handlers(),
        **Referrers(subjects, images, registries.discovery).handlers(),
        **urls.handlers(),
        **Lifecycle(subjects, registries.lifecycles).handlers(),
    }
