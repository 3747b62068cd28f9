"""The paths of the distribution API, read from the raw request target.

Source: OCI distribution-spec v1.1, "Endpoints". Read before anything decodes or normalises: `%2e%2e`, `//` and the like
never reach a name (RELIABILITY finding 5). Pure.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import BlobUploadUnknown, NameInvalid, NotFound
from mirror.oci.names import Reference, parse_name, parse_reference

PATHS_MAX: Final = 4_096  # remembered routes: clients ask for few paths, often

Kind = Literal["base", "catalog", "manifest", "blob", "uploads", "upload", "tags", "referrers"]

_SESSION: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Route:
    """What a path asks for. `reference` is set for manifest, blob and referrers; `session` for upload."""

    kind: Kind
    name: str = ""
    reference: Reference = ""
    session: str = ""

    @property
    def digest(self) -> Digest:
        """The digest of a blob or referrers route."""
        assert isinstance(self.reference, Digest)
        return self.reference


@lru_cache(PATHS_MAX)
def parse_path(path: str) -> Route:
    """Read a raw path (no query). Raises NotFound, NameInvalid, TagInvalid, DigestInvalid or BlobUploadUnknown."""
    if path in ("/v2/", "/v2"):
        return Route("base")
    if not path.startswith("/v2/"):
        raise NotFound(f"no such path: {path[:200]!r}")
    if "%" in path or not path.isascii():
        raise NameInvalid("a repository path has no % and no character outside ASCII")
    if path == "/v2/_catalog":
        return Route("catalog")
    rest = path[4:]
    if rest.endswith("/tags/list"):
        return Route("tags", parse_name(rest[:-10]))
    for ending in ("/blobs/uploads/", "/blobs/uploads"):
        if rest.endswith(ending):
            return Route("uploads", parse_name(rest[: -len(ending)]))
    return _leaf(*rest.rpartition("/")[::2], path)


def _leaf(head: str, last: str, path: str) -> Route:
    if head.endswith("/manifests"):
        return Route("manifest", parse_name(head[:-10]), parse_reference(last))
    if head.endswith("/blobs/uploads"):
        name = parse_name(head[:-14])
        if not _SESSION.fullmatch(last):
            raise BlobUploadUnknown("no such upload session")
        return Route("upload", name, session=last)
    if head.endswith("/blobs"):
        return Route("blob", parse_name(head[:-6]), parse_digest(last))
    if head.endswith("/referrers"):
        return Route("referrers", parse_name(head[:-10]), parse_digest(last))
    raise NotFound(f"no such path: {path[:200]!r}")
