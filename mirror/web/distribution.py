"""The distribution API: pull, discovery and management. Uploads are in `uploads.py`.

Source: OCI distribution-spec v1.1. Each handler reads the request, asks the registry once, and answers.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

import orjson
from aiohttp import web

from mirror.oci import media
from mirror.oci.digest import Digest
from mirror.oci.errors import (
    BlobUnknown,
    ManifestTooLarge,
    ManifestUnknown,
    NameInvalid,
    QueryInvalid,
    UpstreamError,
)
from mirror.oci.manifest import MANIFEST_BYTES_MAX
from mirror.oci.names import Registry, Repository, parse_name, parse_tag
from mirror.registry.discovery import Discovery, referrers_index
from mirror.registry.manifests import read_manifest
from mirror.registry.pull import PullManifests
from mirror.registry.pull_blobs import PullBlobs
from mirror.registry.pull_times import PullTimes
from mirror.registry.pulled import stale_headers
from mirror.web.door import Door
from mirror.web.gate import check_plain, read_query, read_values
from mirror.web.heads import Headers, blob_headers, last_headers, manifest_headers
from mirror.web.send import SmallBody, read_body, send, send_blob
from mirror.web.visit import Visit

PAGE_MAX: Final = 1_000  # entries of one list (RELIABILITY A1)


class Distribution:
    """Handlers of manifests, blobs and lists. All but two take (request, visit)."""

    def __init__(
        self, door: Door, *, manifests: PullManifests, blobs: PullBlobs, discovery: Discovery, pulls: PullTimes
    ) -> None:
        self._door = door
        self._manifests = manifests
        self._blobs = blobs
        self._discovery = discovery
        self._pulls = pulls

    # Pull.

    def base(self) -> web.StreamResponse:
        """Answer `/v2/`: 200 while alive, or the challenge before it, else podman skips it (CLIENTS quirk 15)."""
        headers = [("Content-Type", "application/json"), ("Docker-Distribution-Api-Version", "registry/2.0")]
        return answer(200, headers, b"{}")

    async def get_manifest(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:
        try:
            found = await self._manifests.pull(visit.repository, visit.route.reference)
        except UpstreamError as error:
            if request.method == "HEAD" and self._door.claimable(visit):
                name = visit.route.name
                raise ManifestUnknown(f"{name} is not here, and upstream failed: {error.message}") from None
            raise
        if request.method == "GET" and not visit.origin:
            self._pulls.note(visit.repository, found.digest, visit.caller.principal)
        by_tag = isinstance(visit.route.reference, str)
        headers = manifest_headers(
            str(found.digest), found.media_type, len(found.data), by_tag=by_tag, shared=visit.shared
        )
        headers += found.headers.items()
        if is_same(request, str(found.digest)):
            return not_modified(headers)
        if request.method == "HEAD" or "Range" not in request.headers:
            return answer(200, headers, found.data)
        return await send(request, headers, len(found.data), SmallBody(found.data))

    async def get_blob(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:
        digest = visit.route.digest
        blob = await self._blobs.pull(visit.repository, digest)
        headers = blob_headers(str(digest), blob.size, shared=visit.shared)
        if is_same(request, str(digest)):
            blob.close()
            return not_modified(headers)
        return await send_blob(request, headers, blob)

    async def head_blob(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:
        repository, digest = visit.repository, visit.route.digest
        is_named = self._door.index.member(repository, digest) is not None or self._manifests.unkept.any_of(repository)
        if self._door.claimable(visit) and not is_named:
            raise BlobUnknown(f"{visit.route.name} has no blob {digest}")
        size = await self._blobs.size(repository, digest)
        headers = blob_headers(str(digest), size, shared=visit.shared)
        return not_modified(headers) if is_same(request, str(digest)) else answer(200, headers)

    # Discovery.

    async def get_tags(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:  # noqa: ARG002
        fields = read_query(visit.query)
        listing = await self._discovery.tags(visit.repository)
        last, limit = fields.get("last", ""), read_limit(fields)
        page = [tag for tag in listing.items if tag > last][: limit + 1]
        headers: Headers = [("Content-Type", "application/json"), *stale_headers(listing.stale_s).items()]
        headers += self._link(f"/v2/{visit.route.name}/tags/list", fields, page, limit)
        return answer(200, headers, orjson.dumps({"name": visit.route.name, "tags": page[:limit]}))

    async def get_referrers(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:  # noqa: ARG002
        listing = await self._discovery.referrers(visit.repository, visit.route.digest)
        artifact_type = read_query(visit.query).get("artifactType")
        headers: Headers = [("Content-Type", media.OCI_INDEX), *stale_headers(listing.stale_s).items()]
        if artifact_type is not None:
            headers.append(("OCI-Filters-Applied", "artifactType"))
        return answer(200, headers, referrers_index(listing.items, artifact_type))

    async def get_catalog(self, visit: Visit) -> web.StreamResponse:
        """List the repositories that the visitor may pull from (RELIABILITY A10)."""
        self._door.admission.check_listing(visit)
        fields = read_query(visit.query)
        limit = read_limit(fields)
        last = self._catalog_last(visit.registry, fields.get("last", ""))
        page: list[str] = []
        while len(page) <= limit and (found := await self._discovery.repositories(visit.registry, last, PAGE_MAX + 1)):
            page += [self._door.routing.address(one) for one in found if self._listed(visit, one)]
            last = found[-1]
        page = page[: limit + 1]
        headers: Headers = [("Content-Type", "application/json"), *self._link("/v2/_catalog", fields, page, limit)]
        return answer(200, headers, orjson.dumps({"repositories": page[:limit]}))

    def _listed(self, visit: Visit, repository: Repository) -> bool:
        may = self._door.admission.may
        return may(visit, "list_repositories", repository) or may(visit, "get_manifest", repository)

    def _catalog_last(self, registry: Registry, last: str) -> Repository | None:
        if not last:
            return None
        try:
            return self._door.routing.push_target(registry, parse_name(last), None)
        except NameInvalid as error:
            raise QueryInvalid(f"last={last[:100]!r}: {error.message}") from None

    def _link(self, path: str, fields: dict[str, str], page: Sequence[str], limit: int) -> Headers:
        """Point at the next page when there is one. RFC 8288; relative unless a public URL is configured."""
        if len(page) <= limit or not limit:
            return []
        next_fields = {**fields, "n": str(limit), "last": page[limit - 1]}
        return [("Link", f'<{self._door.address(path)}?{urlencode(next_fields)}>; rel="next"')]

    # Management.

    async def put_manifest(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:
        check_plain(request)
        await self._door.check_there(visit)
        data = await self._read_manifest(request)
        tags = tuple(parse_tag(tag) for tag in read_values(visit.query, "tag"))
        kind = request.headers.get("Content-Type", "")
        if visit.origin:
            return await self._replicate(visit, data, kind, tags)
        pushed = await self._door.push.put_manifest(visit.repository, visit.route.reference, data, kind, tags)
        headers: Headers = [
            ("Location", self._door.address(f"/v2/{visit.route.name}/manifests/{pushed.digest}")),
            ("Docker-Content-Digest", str(pushed.digest)),
        ]
        if pushed.subject is not None:
            headers.append(("OCI-Subject", str(pushed.subject)))
        headers += [("OCI-Tag", tag) for tag in tags]
        return answer(201, headers)

    async def _replicate(self, visit: Visit, data: bytes, kind: str, tags: Sequence[str]) -> web.StreamResponse:
        """Take in a manifest that another node sends, by its digest and with one tag at most."""
        digest = visit.route.digest
        manifest = await read_manifest(data, kind)
        self._door.push.check_parts(visit.repository, manifest)
        await self._door.replicas.put(visit.repository, digest, data, manifest, "".join(tags[:1]), visit.origin)
        return answer(201, [("Docker-Content-Digest", str(digest))])

    async def _read_manifest(self, request: web.BaseRequest) -> bytes:
        """Read a body of at most MANIFEST_BYTES_MAX. Raises ManifestTooLarge."""
        too_large = ManifestTooLarge(f"a manifest of more than {MANIFEST_BYTES_MAX} bytes is not taken")
        return await read_body(request, self._door.slow, MANIFEST_BYTES_MAX, too_large)

    async def delete_manifest(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:  # noqa: ARG002
        reference = visit.route.reference
        if not visit.origin:
            await self._door.push.delete_manifest(visit.repository, reference)
        elif isinstance(reference, Digest):
            await self._door.replicas.delete(visit.repository, reference)
        else:
            await self._door.replicas.untag(visit.repository, reference)
        return answer(202)

    async def delete_blob(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:  # noqa: ARG002
        await self._door.push.delete_blob(visit.repository, visit.route.digest)
        return answer(202)


def answer(status: int, headers: Headers | None = None, body: bytes = b"") -> web.Response:
    """Make an answer that is in memory."""
    return web.Response(status=status, headers=[*(headers or []), *last_headers()], body=body)


def is_same(request: web.BaseRequest, digest: str) -> bool:
    """Tell whether If-None-Match names what we would send (RFC 9110 section 13.1.2)."""
    if "If-None-Match" not in request.headers:
        return False
    tags = ",".join(request.headers.getall("If-None-Match")).split(",")
    return any(tag.strip().removeprefix("W/").strip('"') in (digest, "*") for tag in tags)


def not_modified(headers: Headers) -> web.Response:
    kept = [(name, value) for name, value in headers if name not in ("Content-Type", "Content-Length")]
    return answer(304, kept)


def read_limit(fields: dict[str, str]) -> int:
    """Read `n`: a count of entries, PAGE_MAX at most and by default. Raises QueryInvalid."""
    text = fields.get("n")
    if text is None:
        return PAGE_MAX
    if not (text.isascii() and text.isdigit()):
        raise QueryInvalid(f"n={text[:40]!r} is not a count of entries")
    return min(int(text[:19]), PAGE_MAX)
