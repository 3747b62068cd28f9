"""The push client: what this node brings to another registry, and takes away there.

Source: OCI distribution-spec v1.1, "Push"; CLIENTS for what registries make of it. Bytes go from the stored file, once
to a registry: what it has in one repository is mounted into another. An upload that a cut leaves goes on at the byte.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote
from weakref import WeakValueDictionary

from yarl import URL

from mirror.oci import media
from mirror.oci.digest import Digest
from mirror.oci.errors import UpstreamError
from mirror.upstream.push_wire import PushWire, Request
from mirror.upstream.throttle import Throttle
from mirror.upstream.upload import OnBytes, Uploads

KNOWN_MAX: Final = 10_000  # blobs of which we know that they are there, and where


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one kind of registry understands that others do not."""

    chunk_bytes: int = 0  # of one PATCH; 0: all at once, since many registries know no other way
    tag_in_query: bool = False  # a manifest goes by its digest, with its tag in the query
    mounts_any: bool = False  # it finds by itself from where to mount


class PushClient:
    """One registry that images go to."""

    def __init__(self, wire: PushWire, base: URL, dialect: Dialect, throttle: Throttle, sent: OnBytes) -> None:
        """`base` ends with a slash; `sent` is told of bytes as they go."""
        self._wire = wire
        self._base = URL(f"{base}v2/")
        self._dialect = dialect
        self._uploads = Uploads(wire, throttle, sent, dialect.chunk_bytes)
        self._holders: OrderedDict[Digest, set[str]] = OrderedDict()  # the repositories there that have a blob
        self._sending: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()

    async def head(self, name: str, reference: str) -> str | None:
        """Return the digest of what `reference` names there; None where it names nothing.

        Every call raises UpstreamUnavailable where asking again later may help, UpstreamDenied, UpstreamError.
        """
        request = Request("HEAD", self._url(name, f"manifests/{reference}"), _reading(name), {"Accept": media.ACCEPT})
        async with self._wire.asked(request) as response:
            return None if response.status == 404 else response.headers.get("Docker-Content-Digest", "")

    async def get_manifest(self, name: str, reference: str) -> bytes | None:
        """Return what `reference` names there; None where it names nothing."""
        request = Request("GET", self._url(name, f"manifests/{reference}"), _reading(name), {"Accept": media.ACCEPT})
        async with self._wire.asked(request) as response:
            return None if response.status == 404 else await self._wire.read(response)

    async def bring_blob(self, name: str, digest: Digest, path: Path, size: int) -> None:
        """Bring a blob there: nothing where it is, by a mount where another repository has it, else by sending it.

        Two that bring the same blob send it once. What a cut left unfinished goes on when it is brought again.
        """
        async with self._sending.setdefault(digest, asyncio.Lock()):
            if name in self._holders.get(digest, ()):
                return
            if not await self._has_blob(name, digest):
                await self._uploads.put((name, digest), self._begin(name, digest), path, size)
            self._note(name, digest)

    async def _has_blob(self, name: str, digest: Digest) -> bool:
        async with self._wire.asked(Request("HEAD", self._url(name, f"blobs/{digest}"), _writing(name))) as response:
            return response.status != 404

    def _begin(self, name: str, digest: Digest) -> Request:
        """Write what begins an upload, or mounts what is to be uploaded."""
        query, scope = "", _writing(name)
        holder = next(iter(self._holders.get(digest, ())), "")
        if holder:
            query, scope = f"?mount={_quoted(digest)}&from={_quoted(holder)}", f"{scope} {_reading(holder)}"
        elif self._dialect.mounts_any:
            query = f"?mount={_quoted(digest)}"
        return Request("POST", self._url(name, f"blobs/uploads/{query}"), scope)

    async def put_manifest(self, name: str, digest: Digest, data: bytes, media_type: str, tag: str) -> bool:
        """Put a manifest by its digest, and under a tag where there is one; tell whether its subject was understood."""
        query = f"?tag={quote(tag)}" if tag and self._dialect.tag_in_query else ""
        reference = tag if tag and not query else str(digest)
        url = self._url(name, f"manifests/{reference}{query}")
        request = Request("PUT", url, _writing(name), {"Content-Type": media_type}, data=data)
        async with self._forgetting(), self._wire.asked(request) as response:
            self._wire.refuse_missing(response)
            named = response.headers.get("Docker-Content-Digest", str(digest))
            if named != str(digest):
                raise UpstreamError(f"{self._wire.what} took {digest} for {named}")
            return "OCI-Subject" in response.headers

    async def delete(self, name: str, reference: str) -> None:
        """Delete a tag or an image; what is not there is gone already."""
        request = Request("DELETE", self._url(name, f"manifests/{reference}"), f"repository:{name}:delete,pull")
        async with self._wire.asked(request):
            return

    async def close(self) -> None:
        await self._wire.close()

    def _url(self, name: str, rest: str) -> URL:
        return URL(f"{self._base}{name}/{rest}", encoded=True)

    @asynccontextmanager
    async def _forgetting(self) -> AsyncIterator[None]:
        """Believe nothing any more of what is there, when a manifest is refused: it may be for want of a blob."""
        try:
            yield
        except UpstreamError:
            self._holders.clear()
            raise

    def _note(self, name: str, digest: Digest) -> None:
        self._holders.setdefault(digest, set()).add(name)
        self._holders.move_to_end(digest)
        if len(self._holders) > KNOWN_MAX:
            self._holders.popitem(last=False)


def _reading(name: str) -> str:
    return f"repository:{name}:pull"


def _writing(name: str) -> str:
    return f"repository:{name}:pull,push"


def _quoted(text: object) -> str:
    return quote(str(text), safe="")
