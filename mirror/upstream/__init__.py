"""Other people's registries: asked politely, believed only where the digest agrees."""

from mirror.upstream.body import BlobBody
from mirror.upstream.client import Upstream
from mirror.upstream.limits import Limits
from mirror.upstream.manifests import FetchedManifest, ManifestHead

__all__ = ["BlobBody", "FetchedManifest", "Limits", "ManifestHead", "Upstream"]
