"""What a pull gives: a manifest, or a blob and where its bytes are."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown, UpstreamError
from mirror.oci.ranges import Span
from mirror.registry.fill import Fill
from mirror.registry.passages import Passage
from mirror.registry.upstreams import Source


@dataclass(frozen=True, slots=True)
class PulledManifest:
    """A manifest to send. `stale_s` is its age in seconds when upstream could not confirm it, else None."""

    digest: Digest
    media_type: str
    data: bytes
    stale_s: float | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that own up to a stale answer (RFC 9111 section 5.1; RFC 7234 section 5.5.2)."""
        return stale_headers(self.stale_s)


def stale_headers(stale_s: float | None) -> Mapping[str, str]:
    if stale_s is None:
        return {}
    return {"Age": str(max(0, int(stale_s))), "Warning": '111 mirror "Revalidation Failed: upstream did not answer"'}


@dataclass(frozen=True, slots=True)
class SmallBlob:
    """A blob whose bytes are in the index."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class OpenBlob:
    """A blob in a file: the receiver owns `fd` and closes it."""

    fd: int
    size: int

    def close(self) -> None:
        os.close(self.fd)


@dataclass(frozen=True, slots=True)
class FillingBlob:
    """A blob on its way: the receiver follows `fill`, and goes on by `passage` where that meets a full disk."""

    fill: Fill
    size: int
    passage: Passage

    def close(self) -> None:
        """The fill goes on by itself."""


@dataclass(frozen=True, slots=True)
class PassingBlob:
    """A blob that the disk has no room for: the receiver enters `passage` and begins it."""

    passage: Passage
    size: int
    source: Source

    async def begin(self, span: Span) -> None:
        """Have upstream answer for `span`. Raises BlobUnknown, UpstreamError as our client is to hear it."""
        try:
            await self.passage.begin(span)
        except (UpstreamError, BlobUnknown) as error:
            raise self.source.told(error, blob=True) from None

    def close(self) -> None:
        """Nothing is open before the passage is entered."""


PulledBlob = SmallBlob | OpenBlob | FillingBlob | PassingBlob
