"""Changes: the log that everything else follows. One row for each thing that became different, in the order of commit.

Source: DESIGN section 2, "The change log is the spine". A change carries all that its readers need (`detail`), for the
rows it speaks of may be gone when it is read. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import orjson

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.manifest import Descriptor, Manifest
from mirror.oci.names import Registry, Repository, read_registry

Kind = Literal[
    "repository.created",  # detail: the repository's settings
    "repository.changed",  # detail: the repository's settings
    "repository.deleted",
    "repository.renamed",  # detail: upstream, name: what it was, in the same registry
    "repository.document",  # detail: kind, and whether it is there still
    "document.changed",  # detail: kind, name, and whether it is there still; never its text, which may be a secret
    "manifest.put",  # detail: see manifest_detail; and origin, `account/region`, of what was replicated to us
    "manifest.deleted",
    "manifest.status",  # detail: status, ACTIVE or ARCHIVED; media_type, artifact_type, subject
    "blob.linked",  # detail: media_type, size
    "blob.unlinked",
    "blob.collected",  # of no repository: nothing names the blob, and its bytes go
    "tag.set",  # detail: origin, of what was replicated to us
    "tag.deleted",
]
KINDS: Final = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `seq` is 0 until the log has given it its place; `at` is in unix seconds."""

    kind: Kind
    repository: Repository
    at: float
    digest: Digest | None = None
    tag: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0

    @property
    def named(self) -> Digest:
        """The digest of a change that has one: all but those of a repository."""
        assert self.digest is not None
        return self.digest

    def row(self) -> dict[str, Any]:
        """Return the change as a row of the log, without its seq."""
        return {
            "at": self.at,
            "registry": str(self.repository.registry),
            "upstream": self.repository.upstream,
            "repository": self.repository.name,
            "kind": self.kind,
            "digest": str(self.digest) if self.digest else None,
            "tag": self.tag or None,
            "detail": orjson.dumps(self.detail).decode(),
        }


def read_change(row: Mapping[Any, Any]) -> Change:
    """Read a row of the log."""
    return Change(
        kind=row["kind"],
        repository=Repository(read_registry(row["registry"]), row["upstream"], row["repository"]),
        at=row["at"],
        digest=parse_digest(row["digest"]) if row["digest"] else None,
        tag=row["tag"] or "",
        detail=orjson.loads(row["detail"]),
        seq=row["seq"],
    )


def document_change(owner: Registry, kind: str, name: str, at: float, *, there: bool) -> Change:
    """Say that a registry's (or, of an owner without account, the node's) document is another now."""
    return Change(
        "document.changed",
        Repository(owner, "", ""),
        at,
        detail={"kind": kind, "name": name, "there": there},
    )


def manifest_detail(manifest: Manifest, size: int, *, whole: bool) -> dict[str, Any]:
    """Say of a manifest what readers of the log need: children as [digest, size, media type], none foreign."""
    return {
        "media_type": manifest.media_type,
        "size": size,
        "whole": whole,
        "artifact_type": manifest.artifact_type,
        "subject": str(manifest.subject.digest) if manifest.subject else None,
        "blobs": [_child(blob) for blob in manifest.needed],
        "manifests": [_child(child) for child in manifest.manifests],
    }


def _child(descriptor: Descriptor) -> tuple[str, int, str]:
    return str(descriptor.digest), descriptor.size, descriptor.media_type
