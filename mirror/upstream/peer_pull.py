"""Pulling from a peer: bytes of ours that this node has lost, asked of a node of ours that replicates them.

Source: OCI distribution-spec v1.1, "Pull"; ECR.md 2.4. It is a pull like any other, by the access key that replication
uses: what that user may not read there is not read. The header says which account's registry is meant. Digests are for
the caller to verify.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from yarl import URL

from mirror.oci import media
from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown
from mirror.upstream.body import BlobBody, open_body
from mirror.upstream.limits import Limits
from mirror.upstream.push_wire import PushWire, Request


class PeerPull:
    """The registry of one account at a peer. Every call raises UpstreamError and its kin."""

    def __init__(self, wire: PushWire, base: URL) -> None:
        """`base` ends with a slash."""
        self.what = wire.what
        self._wire = wire
        self._base = URL(f"{base}v2/")
        self._clocks = Limits()

    async def get_manifest(self, name: str, digest: Digest) -> bytes | None:
        """Return a manifest's bytes as they came; None where it is not there."""
        request = Request("GET", self._url(name, f"manifests/{digest}"), "", {"Accept": media.ACCEPT})
        async with self._wire.asked(request) as response:
            return None if response.status == 404 else await self._wire.read(response)

    @asynccontextmanager
    async def get_blob(self, name: str, digest: Digest, start: int, end: int | None) -> AsyncIterator[BlobBody]:
        """Open a blob's bytes from `start` up to, not including, `end`. Raises BlobUnknown."""
        wanted = {"Range": f"bytes={start}-{'' if end is None else end - 1}"} if start or end is not None else {}
        async with self._wire.asked(Request("GET", self._url(name, f"blobs/{digest}"), "", wanted)) as response:
            if response.status == 404:
                raise BlobUnknown(f"{self.what} has no blob {name}@{digest}")
            yield open_body(response, start, end, self._clocks)

    async def close(self) -> None:
        await self._wire.close()

    def _url(self, name: str, rest: str) -> URL:
        return URL(f"{self._base}{name}/{rest}", encoded=True)
