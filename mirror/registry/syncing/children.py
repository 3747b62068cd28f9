"""Which children of an index a rule wants: those of its platforms, and what BuildKit says about these.

Source: OCI image-spec v1.1, image-index.md; BuildKit, "Image attestation storage": an attestation is a child of the
platform `unknown/unknown` whose annotations name the child that it is about. Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from mirror.oci.manifest import Descriptor, Manifest
from mirror.registry.prefetch import is_wanted
from mirror.rules.syncing import SyncRule

_TYPE: Final = "vnd.docker.reference.type"
_ATTESTATION: Final = "attestation-manifest"
_ABOUT: Final = "vnd.docker.reference.digest"


def wanted_children(rule: SyncRule, manifest: Manifest, data: bytes) -> Sequence[Descriptor]:
    """Return the children of a manifest, whose bytes are `data`, that a rule wants. One of no platform always is."""
    children = manifest.manifests
    if not rule.platforms or not children:
        return children
    wanted = [child for child in children if not child.platform or is_wanted(child.platform, rule.platforms)]
    if rule.referrers:
        about, there = _attestations(data), {str(child.digest) for child in wanted}
        wanted += [child for child in children if about.get(str(child.digest)) in there]
    return wanted


def _attestations(data: bytes) -> Mapping[str, str]:
    """Return of each attestation what it is about, by digests."""
    found: dict[str, str] = {}
    for child in orjson.loads(data)["manifests"]:
        annotations = child.get("annotations")
        if isinstance(annotations, dict) and annotations.get(_TYPE) == _ATTESTATION:
            found[child["digest"]] = str(annotations.get(_ABOUT))
    return found
