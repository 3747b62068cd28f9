"""Media types that a registry must know to follow a manifest to its parts.

Source: OCI image-spec v1.1, media-types.md; Docker image manifest v2, schema 2. Pure.
"""

from typing import Final

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
OCTETS: Final = "application/octet-stream"
EMPTY: Final = "application/vnd.oci.empty.v1+json"

IMAGES: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEXES: Final = frozenset({OCI_INDEX, DOCKER_LIST})

# What the node asks an upstream for: everything it can keep, best first. Never a client's own Accept (CLIENTS quirk 5).
ACCEPT: Final = f"{OCI_INDEX}, {OCI_MANIFEST}, {DOCKER_LIST}, {DOCKER_MANIFEST}, */*"

_FOREIGN_PREFIXES: Final = (
    "application/vnd.docker.image.rootfs.foreign.",
    "application/vnd.oci.image.layer.nondistributable.",
)


def foreign(media_type: str) -> bool:
    """Tell whether a layer of this type lives elsewhere by design and need not be in the registry."""
    return media_type.startswith(_FOREIGN_PREFIXES)
