"""A peer: a node of ours in another region, which takes images of a registry into one of its own.

Source: OCI distribution-spec v1.1, "Push"; ECR API reference, GetAuthorizationToken; AWS Signature Version 4. What is
spoken is the docker protocol, with one header more, by which the peer knows that this is a replication, and between
which registries. Bytes go from the stored file in chunks, and are resumed where a cut left them.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import orjson
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from yarl import URL

from mirror.oci.digest import Digest
from mirror.oci.errors import RegistryError, UpstreamDenied, UpstreamError, UpstreamUnavailable
from mirror.rules.replication import HEADER, said
from mirror.upstream.body import read_small

ANSWER_S_MAX: Final = 60.0  # finishing an upload of 50 GB hashes nothing again, but syncs a disk
CONNECT_S_MAX: Final = 5.0
CHUNK_BYTES: Final = 64 * 1024 * 1024  # of one PATCH: a cut costs no more, and a chunk is soon through
READ_BYTES: Final = 1024 * 1024
TRIES: Final = 5  # of a chunk, without a byte gained
PAUSE_S: Final = 0.2  # after a cut, doubled with each try in vain
TOKEN_EARLY_S: Final = 600.0  # a token is renewed so long before its end
UNFINISHED_MAX: Final = 64  # uploads that may go on after a longer cut: more than there are workers
SECRET_BYTES_MAX: Final = 4_096
ANSWER_BYTES_MAX: Final = 64 * 1024
_TARGET: Final = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
_LATER: Final = frozenset({408, 425, 429})

Headers = dict[str, str]


@dataclass(frozen=True, slots=True)
class PeerRule:
    """How a peer is reached, and by whose access key there."""

    region: str
    url: str
    access_key: str
    secret_file: str
    ca_file: str = ""


@dataclass(slots=True)
class _Upload:
    """An upload at the peer: where it goes on, and how many bytes it has."""

    place: URL
    offset: int = 0


class Peer:
    """One peer, as the registries of one account see it: images go to its registry of `account`."""

    def __init__(self, rule: PeerRule, account: str, region: str, *, user_agent: str) -> None:
        """`region` is this node's own."""
        self._rule = rule
        self._base = URL(rule.url.rstrip("/") + "/")
        self._headers = {HEADER: said(account, region), "User-Agent": user_agent}
        self._session: aiohttp.ClientSession | None = None
        self._login = asyncio.Lock()
        self._token = ("", 0.0)
        self._unfinished: dict[tuple[str, Digest], _Upload] = {}

    async def head(self, name: str, reference: str) -> str | None:
        """Return the digest of what `reference` names there; None where it names nothing."""
        async with self._asked("HEAD", f"{name}/manifests/{reference}") as response:
            return None if response.status == 404 else response.headers.get("Docker-Content-Digest")

    async def has_blob(self, name: str, digest: Digest) -> bool:
        """Tell whether a blob is there."""
        async with self._asked("HEAD", f"{name}/blobs/{digest}") as response:
            return response.status != 404

    async def put_blob(self, name: str, digest: Digest, path: Path, size: int) -> None:
        """Send a blob, unless it can be mounted there. What a cut left unfinished goes on when it is sent again."""
        upload = await self._begun(name, digest) or await self._begin(name, digest)
        if upload is None:
            return
        try:
            await self._send(upload, path, size)
            async with self._asked("PUT", upload.place.update_query(digest=str(digest))) as response:
                _refuse_missing(response)
        except UpstreamUnavailable:
            self._unfinished[name, digest] = upload
            if len(self._unfinished) > UNFINISHED_MAX:
                del self._unfinished[next(iter(self._unfinished))]
            raise

    async def put_manifest(self, name: str, digest: Digest, data: bytes, media_type: str, tag: str) -> None:
        """Put a manifest by its digest, and under a tag where there is one."""
        query = f"?tag={quote(tag)}" if tag else ""
        headers = {"Content-Type": media_type}
        async with self._asked("PUT", f"{name}/manifests/{digest}{query}", data=data, headers=headers) as response:
            _refuse_missing(response)

    async def delete(self, name: str, reference: str) -> None:
        """Delete a tag or an image; what is not there is gone already."""
        async with self._asked("DELETE", f"{name}/manifests/{reference}"):
            return

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    # Uploads.

    async def _begin(self, name: str, digest: Digest) -> _Upload | None:
        """Begin an upload; None when the blob was mounted and needs none."""
        async with self._asked("POST", f"{name}/blobs/uploads/?mount={_quoted(digest)}") as response:
            _refuse_missing(response)
            return None if response.status == 201 else _Upload(self._place(response))

    async def _begun(self, name: str, digest: Digest) -> _Upload | None:
        """Return the upload that a cut left unfinished, as far as it has come; None where there is none any more."""
        upload = self._unfinished.get((name, digest))
        if upload is not None:
            offset = await self._offset(upload)
            del self._unfinished[name, digest]
            if offset is None:
                return None
            upload.offset = offset
        return upload

    async def _send(self, upload: _Upload, path: Path, size: int) -> None:
        """Send a file's bytes to an upload, from where it stands."""
        tries = 0
        while upload.offset < size:
            start = upload.offset
            try:
                await self._send_chunk(upload, path, min(start + CHUNK_BYTES, size))
            except UpstreamUnavailable:
                upload.offset = await self._reached(upload, tries)
            tries = 0 if upload.offset > start else tries + 1
            if tries >= TRIES:
                raise UpstreamUnavailable(f"region {self._rule.region} takes no bytes")

    async def _send_chunk(self, upload: _Upload, path: Path, end: int) -> None:
        start = upload.offset
        span = {"Content-Range": f"{start}-{end - 1}", "Content-Length": str(end - start)}
        span["Content-Type"] = "application/octet-stream"
        async with self._asked("PATCH", upload.place, data=_bytes(path, start, end), headers=span) as response:
            _refuse_missing(response)
            upload.place, upload.offset = self._place(response), end

    async def _reached(self, upload: _Upload, tries: int) -> int:
        """Ask an upload how far it has come, after a moment that grows with each try."""
        await asyncio.sleep(PAUSE_S * 2**tries)
        offset = await self._offset(upload)
        if offset is None:
            raise UpstreamError(f"region {self._rule.region} has forgotten an upload")
        return offset

    async def _offset(self, upload: _Upload) -> int | None:
        """Ask how many bytes of an upload are there; None where it is not known any more."""
        async with self._asked("GET", upload.place) as response:
            if response.status == 404:
                return None
            last = response.headers.get("Range", "0-0").rpartition("-")[2]
            return int(last) + 1 if last.isdigit() and last != "0" else 0

    def _place(self, response: aiohttp.ClientResponse) -> URL:
        """Read where an upload goes on: at the peer, whatever it calls itself."""
        place = URL(response.headers.get("Location", ""), encoded=True)
        return self._base.join(URL(place.raw_path_qs, encoded=True))

    # Asking.

    @asynccontextmanager
    async def _asked(
        self, method: str, path: str | URL, *, data: Any = None, headers: Headers | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask once; the answer is given back to the pool at the end."""
        url = path if isinstance(path, URL) else URL(f"{self._base}v2/{path}", encoded=True)
        response = await self._answer(method, url, data, headers or {})
        try:
            yield response
        finally:
            response.release()

    async def _answer(self, method: str, url: URL, data: Any, headers: Headers) -> aiohttp.ClientResponse:
        """Ask once, with a token. Raises UpstreamUnavailable, UpstreamDenied, UpstreamError."""
        token = await self._authorization()
        response = await self._ask(method, url, data, {**self._headers, **headers, "Authorization": f"Basic {token}"})
        if response.status in (401, 403):
            # It may be the token's fault: of another key since, or of a node that has lost its own.
            self._token = ("", 0.0)
        if response.status < 300 or response.status == 404:
            return response
        try:
            raise await self._refusal(response)
        finally:
            response.release()

    async def _ask(self, method: str, url: URL, data: Any, headers: Headers) -> aiohttp.ClientResponse:
        try:
            session = await self._opened()
            return await session.request(method, url, data=data, headers=headers, allow_redirects=False)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UpstreamUnavailable(f"region {self._rule.region}: {error or type(error).__name__}") from None

    async def _refusal(self, response: aiohttp.ClientResponse) -> RegistryError:
        said = f"region {self._rule.region} answered {response.status}: {await _message(response)}"
        if response.status in (401, 403):
            return UpstreamDenied(said)
        return UpstreamUnavailable(said) if response.status >= 500 or response.status in _LATER else UpstreamError(said)

    async def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            tls = await asyncio.to_thread(ssl.create_default_context, cafile=self._rule.ca_file or None)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S_MAX, sock_read=ANSWER_S_MAX),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def _authorization(self) -> str:
        """Return an authorization token of the peer's. Raises UpstreamDenied, UpstreamUnavailable."""
        async with self._login:
            token, ends_at = self._token
            if time.time() < ends_at - TOKEN_EARLY_S:
                return token
            response = await self._ask("POST", self._base, b"{}", await asyncio.to_thread(self._signed))
            try:
                if response.status != 200:
                    raise await self._refusal(response)
                self._token = await self._read_token(response)
            finally:
                response.release()
            return self._token[0]

    async def _read_token(self, response: aiohttp.ClientResponse) -> tuple[str, float]:
        """Read an authorization token and when it ends. Raises UpstreamUnavailable."""
        try:
            (data,) = orjson.loads(await read_small(response, ANSWER_BYTES_MAX))["authorizationData"]
            return str(data["authorizationToken"]), float(data["expiresAt"])
        except (UpstreamError, ValueError, LookupError, TypeError):
            raise UpstreamUnavailable(f"region {self._rule.region} gives no token") from None

    def _signed(self) -> Headers:
        """Sign a call of GetAuthorizationToken. Blocks. Raises UpstreamDenied when the secret cannot be read."""
        try:
            with Path(self._rule.secret_file).open("rb") as file:
                secret = file.read(SECRET_BYTES_MAX).split(b"\n", 1)[0].strip().decode()
        except (OSError, ValueError) as error:
            raise UpstreamDenied(f"secret_file of region {self._rule.region} cannot be read: {error}") from None
        headers = {"X-Amz-Target": _TARGET, "Content-Type": "application/x-amz-json-1.1"}
        request = AWSRequest("POST", str(self._base), headers, b"{}")
        SigV4Auth(Credentials(self._rule.access_key, secret), "ecr", self._rule.region).add_auth(request)
        return {**dict(request.headers.items()), "User-Agent": self._headers["User-Agent"]}


def _refuse_missing(response: aiohttp.ClientResponse) -> None:
    if response.status == 404:
        raise UpstreamError(f"{response.method} {response.url.path}: not found there")


async def _message(response: aiohttp.ClientResponse) -> str:
    try:
        said = orjson.loads(await read_small(response, ANSWER_BYTES_MAX))
        return str(said["errors"][0]["message"] if "errors" in said else said.get("message", ""))[:500]
    except (UpstreamError, ValueError, LookupError, TypeError, AttributeError):
        return ""


async def _bytes(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    """Read a part of a file, in a thread."""
    file = await asyncio.to_thread(path.open, "rb")
    try:
        await asyncio.to_thread(file.seek, start)
        while start < end and (data := await asyncio.to_thread(file.read, min(READ_BYTES, end - start))):
            yield data
            start += len(data)
    finally:
        await asyncio.to_thread(file.close)


def _quoted(digest: Digest) -> str:
    return quote(str(digest), safe="")
