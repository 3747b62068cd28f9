"""Blob uploads: whole, in chunks, streamed, mounted, resumed, cancelled.

Source: OCI distribution-spec v1.1, "Pushing Blobs". Bytes are hashed as they come, so that finishing an upload of any
size reads nothing again (FIELD section 0, item 2).
"""

from aiohttp import web

from mirror import telemetry
from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import DigestInvalid, RegistryError, UploadRangeInvalid
from mirror.oci.ranges import parse_content_range
from mirror.store.upload import Upload
from mirror.web.distribution import answer
from mirror.web.door import Door
from mirror.web.gate import check_plain, read_query
from mirror.web.heads import Headers
from mirror.web.send import chunks_of
from mirror.web.visit import Visit


class UploadHandlers:
    """Handlers of upload sessions. All take (request, visit)."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def post(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:
        """Open a session; or take a whole blob (`digest`); or mount one (`mount`, with or without `from`)."""
        check_plain(request)
        await self._door.check_there(visit)
        fields = read_query(visit.query)
        repository, name = visit.repository, visit.route.name
        if "mount" in fields and await self._mount(visit, parse_digest(fields["mount"]), fields.get("from")):
            return self._created(name, parse_digest(fields["mount"]))
        digest = parse_digest(fields["digest"]) if "digest" in fields else None
        upload = await self._door.push.start(repository)
        if digest is None:
            return self._accepted(name, upload, 202)
        try:
            await self._receive(request, upload)
        except BaseException:
            # The client never learnt the session's name: nobody could go on with it.
            await upload.cancel()
            raise
        await self._door.push.finish(repository, upload, digest)
        return self._created(name, digest)

    async def _mount(self, visit: Visit, digest: Digest, source_name: str | None) -> bool:
        """Mount a blob; whatever stands against it, an ordinary upload follows: no hint of what exists elsewhere."""
        if not self._door.push.mounts(visit.registry):
            return False
        try:
            if source_name is None:
                sources = await self._door.push.sources(visit.repository, digest)
            else:
                sources = [self._door.source(visit, source_name)]
        except RegistryError:
            return False
        for source in sources:
            may = self._door.admission.may(visit, "mount_source", source)
            if may and await self._door.push.mount(visit.repository, digest, source):
                return True
        return False

    async def patch(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:
        """Take a chunk: with Content-Range it must start where the upload ends, without it is appended."""
        check_plain(request)
        upload = await self._find(visit)
        name = visit.route.name
        self._check_range(request, name, upload)
        await self._receive(request, upload)
        return self._accepted(name, upload, 202)

    async def put(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:
        """Finish an upload, with or without a last chunk in the body."""
        check_plain(request)
        upload = await self._find(visit)
        name = visit.route.name
        fields = read_query(visit.query)
        if "digest" not in fields:
            raise DigestInvalid("finishing an upload takes ?digest=")
        digest = parse_digest(fields["digest"])
        self._check_range(request, name, upload)
        await self._receive(request, upload)
        await self._door.push.finish(upload.repository, upload, digest)
        return self._created(name, digest)

    async def get(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:  # noqa: ARG002
        """Tell how far an upload is."""
        return self._accepted(visit.route.name, await self._find(visit), 204)

    async def delete(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:  # noqa: ARG002
        """Cancel an upload."""
        upload = await self._find(visit)
        await upload.cancel()
        return answer(204)

    async def _find(self, visit: Visit) -> Upload:
        return await self._door.push.find(visit.repository, visit.route.session)

    def _check_range(self, request: web.BaseRequest, name: str, upload: Upload) -> None:
        """Refuse a chunk out of order: 416 with where to go on (CLIENTS quirk 10)."""
        header = request.headers.get("Content-Range")
        if header is None:
            return
        span = parse_content_range(header)
        length = request.content_length
        if span.start != upload.offset or (length is not None and length != len(span)):
            raise UploadRangeInvalid(
                f"Content-Range {header[:60]!r} does not fit: the upload has {upload.offset} bytes",
                headers=dict(self._progress(name, upload)),
            )

    async def _receive(self, request: web.BaseRequest, upload: Upload) -> None:
        if not request.can_read_body:
            return
        # Said before the body is read, as far as the client says how much it is.
        await self._door.push.take_room(request.content_length or 0)
        with self._door.slow.reading(request.transport), telemetry.UPLOADS.track_inprogress():
            await upload.append(chunks_of(request))

    def _progress(self, name: str, upload: Upload) -> Headers:
        return [
            ("Location", self._door.address(f"/v2/{name}/blobs/uploads/{upload.session}")),
            ("Range", f"0-{max(0, upload.offset - 1)}"),
            ("Docker-Upload-UUID", upload.session),
        ]

    def _accepted(self, name: str, upload: Upload, status: int) -> web.Response:
        return answer(status, self._progress(name, upload))

    def _created(self, name: str, digest: Digest) -> web.Response:
        location = self._door.address(f"/v2/{name}/blobs/{digest}")
        return answer(201, [("Location", location), ("Docker-Content-Digest", str(digest))])
