"""A stand-in for an upstream registry, on loopback, with faults to switch on. Bytes by hand: it misbehaves exactly.

    async with Standin() as standin:                       # 127.0.0.1, a free port; Standin("127.0.0.2") for another
        image = standin.add_image("library/app", "v1")     # a small real image: config, layers, manifest
        index = standin.add_index("library/app", "multi")  # two platforms
        blob = standin.add_blob(b"...")                    # any bytes; blobs are there in every repository it has
        standin.fault = Fault(cut_after=100, on="blob", times=1)
        ...
        assert standin.count("blob", image.layers[0]) == 1

What is asked is in `seen` (one `Seen` a request, header names in lower case), counted by `count(kind, reference,
method)`; kinds are base, manifest, blob, tags, referrers, catalog, token, signed, other. Body bytes are counted in
`sent_bytes[kind, reference]`.

Faults are picked in order from `faults`; `standin.fault = Fault(...)` sets the only one, `None` clears. A fault holds
for `times` requests (None: all) of kind `on` ("" = any but token), `method` and `reference` where given.
`await standin.stalled.wait()` tells that a hanging fault was reached; `standin.resume()` lets the hanging ones go on.

Ways of the registry, all settable at any time: `basic` (user, password), `bearer` (a `Bearer`: token endpoint at
/token), `ratelimit` (remaining, limit, window in s), `tags_per_page`, `referrers_api`, `lists_repositories`,
`digest_header`, `signed_at`
(another Standin that serves the blobs: a GET is redirected there with a signature; `signed_at.expire_signatures()`
voids those handed out). `await standin.stop()` closes the port and all connections, `await standin.start()` opens the
same port again.
"""

import asyncio
import base64
import contextlib
import gzip
import hashlib
import json
import ssl
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from urllib.parse import parse_qs, quote, urlsplit

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
HEADER_BYTES_MAX = 64 * 1024
DRIP_TICKS_PER_S = 20
TLS_HANDSHAKE = b"\x16"

Kind = Literal["", "base", "manifest", "blob", "tags", "referrers", "catalog", "token", "signed", "other"]


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Image:
    """A small image as pushed: digests are text, `manifest` the exact bytes."""

    name: str
    tag: str
    digest: str
    manifest: bytes
    config: str
    layers: tuple[str, ...]
    media_type: str = OCI_MANIFEST


@dataclass(frozen=True, slots=True)
class Index:
    name: str
    tag: str
    digest: str
    manifest: bytes
    images: tuple[Image, ...]
    media_type: str = OCI_INDEX


@dataclass(slots=True)
class Fault:
    """What goes wrong. Fields combine; those that answer something else (`status`, `redirect`, `html`) come first."""

    on: Kind = ""
    method: str = ""
    reference: str = ""
    times: int | None = None
    # before the headers
    delay_s: float = 0.0
    hang: bool = False  # no byte of an answer until `resume()`
    close: bool = False  # the connection is closed with no answer
    raw: bytes = b""  # these bytes instead of any answer, then closed
    # other answers
    status: int = 0  # 401 sends a Basic challenge unless `headers` says otherwise
    redirect: str = ""  # a Location; "{target}" stands for the path and query that was asked
    html: bool = False  # a 200 with a log-in page
    headers: Mapping[str, str] = field(default_factory=dict)  # added to the answer; "" removes one
    # the body
    flip: int | None = None  # the byte at this offset of the whole is another one
    short: int = 0  # so many bytes are missing, and Content-Length agrees
    long: int = 0  # so many are too many, and Content-Length agrees
    cut_after: int | None = None  # the connection is reset after so many body bytes of this answer
    hang_after: int | None = None  # nothing more after so many, until `resume()`
    drip_bytes_s: int | None = None
    gzip: bool = False
    no_length: bool = False  # neither length nor chunks: the end is the end of the connection
    ignore_range: bool = False
    no_digest: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    method: str
    target: str
    kind: str
    name: str
    reference: str
    headers: Mapping[str, str]


@dataclass(slots=True)
class Bearer:
    """A token endpoint: `username` "" gives tokens to all; `realm` "" is the stand-in's own /token."""

    username: str = ""
    password: str = ""
    life_s: float = 300.0
    realm: str = ""
    service: str = "standin"
    field_name: str = "token"
    answer: bytes = b""  # instead of a token
    issued: dict[str, tuple[str, float]] = field(default_factory=dict)  # token -> scope, end of life

    def revoke(self) -> None:
        self.issued.clear()


@dataclass(slots=True)
class _Answer:
    status: int
    headers: dict[str, str]
    body: bytes = b""


class Standin:
    """The stand-in; see the module's docstring."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.host = host
        self.port = 0
        self.tls = tls
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}  # (name, digest) -> media type, bytes
        self.tags: dict[str, dict[str, str]] = {}  # name -> tag -> digest
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.sent_bytes: Counter[tuple[str, str]] = Counter()
        self.basic: tuple[str, str] | None = None
        self.bearer: Bearer | None = None
        self.ratelimit: tuple[int, int, int] | None = None
        self.tags_per_page = 0
        self.referrers_api = True
        self.lists_repositories = True
        self.signed_at: Standin | None = None
        self.digest_header = True
        self.stalled = asyncio.Event()
        self._resumed = asyncio.Event()
        self._signature = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self._server = await asyncio.start_server(
            self._connection, self.host, self.port, limit=HEADER_BYTES_MAX, ssl=self.tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and every connection; the port stays ours for `start()`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    @property
    def fault(self) -> Fault | None:
        return self.faults[0] if self.faults else None

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self.faults = [] if fault is None else [fault]

    def resume(self) -> None:
        """Let the hanging answers go on."""
        self._resumed.set()
        self._resumed = asyncio.Event()
        self.stalled.clear()

    def count(self, kind: Kind = "", reference: str = "", method: str = "") -> int:
        return len(self.asked(kind, reference, method))

    def asked(self, kind: Kind = "", reference: str = "", method: str = "") -> list[Seen]:
        return [
            seen
            for seen in self.seen
            if kind in ("", seen.kind) and reference in ("", seen.reference) and method in ("", seen.method)
        ]

    def forget(self) -> None:
        """Start counting anew."""
        self.seen.clear()
        self.sent_bytes.clear()

    def expire_signatures(self) -> None:
        """Void every signed URL that was handed out so far."""
        self._signature += 1

    def add_blob(self, data: bytes) -> str:
        self.blobs[sha256(data)] = data
        return sha256(data)

    def add_manifest(self, name: str, tag: str, data: bytes, media_type: str) -> str:
        digest = sha256(data)
        self.manifests[name, digest] = (media_type, data)
        if tag:
            self.tags.setdefault(name, {})[tag] = digest
        return digest

    def add_image(
        self, name: str, tag: str = "", layers: Iterable[bytes] = (), *, platform: str = "linux/amd64", seed: str = ""
    ) -> Image:
        """Add an image with these layers (any bytes), or two small ones that differ by name, tag and `seed`."""
        mark = f"{name}:{tag}:{platform}:{seed}"
        system, architecture = platform.split("/")[:2]
        data = tuple(layers) or tuple(
            gzip.compress(f"{mark} layer {number} ".encode() * 40, mtime=0) for number in (1, 2)
        )
        config = json.dumps(
            {
                "os": system,
                "architecture": architecture,
                "config": {"Labels": {"mark": mark}},
                "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in data]},
            }
        ).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _descriptor(OCI_CONFIG, config),
            "layers": [_descriptor(OCI_LAYER, layer) for layer in data],
        }
        body = json.dumps(manifest, indent=3).encode()
        digests = tuple(self.add_blob(layer) for layer in data)
        digest = self.add_manifest(name, tag, body, OCI_MANIFEST)
        return Image(name, tag, digest, body, self.add_blob(config), digests)

    def add_index(
        self, name: str, tag: str = "", platforms: Sequence[str] = ("linux/amd64", "linux/arm64"), *, seed: str = ""
    ) -> Index:
        """Add an image for each platform and the index over them."""
        images = tuple(self.add_image(name, platform=platform, seed=f"{tag}{seed}") for platform in platforms)
        entries = [
            {
                **_descriptor(OCI_MANIFEST, image.manifest),
                "platform": dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False)),
            }
            for image, platform in zip(images, platforms, strict=True)
        ]
        body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, indent=2).encode()
        return Index(name, tag, self.add_manifest(name, tag, body, OCI_INDEX), body, images)

    def add_referrer(self, image: Image | Index, artifact_type: str = "application/vnd.example.sbom") -> str:
        """Add an artifact manifest with `image` as its subject; return its digest."""
        empty = b"{}"
        self.add_blob(empty)
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": artifact_type,
            "config": _descriptor("application/vnd.oci.empty.v1+json", empty),
            "layers": [],
            "subject": _descriptor(image.media_type, image.manifest),
        }
        return self.add_manifest(image.name, "", json.dumps(manifest).encode(), OCI_MANIFEST)

    # The protocol, by hand.

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        # What was counted as sent has left this process: a cut comes after exactly so many bytes.
        writer.transport.set_write_buffer_limits(0)
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; say whether the connection may be used again."""
        first = await reader.readexactly(1)
        if first == TLS_HANDSHAKE:
            writer.write(b"HTTP/1.1 400 Stand-in\r\nConnection: close\r\n\r\n")
            await writer.drain()
            return False
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = request_line.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if length := int(headers.get("content-length", "0")):
            await reader.readexactly(length)
        kind, name, reference = _route(urlsplit(target).path)
        seen = Seen(method, target, kind, name, reference, headers)
        self.seen.append(seen)
        fault = self._pick(seen)
        await asyncio.sleep(fault.delay_s)
        if fault.hang:
            await self._hang()
        if fault.close:
            return False
        if fault.raw:
            writer.write(fault.raw)
            await writer.drain()
            return False
        return await self._send(writer, seen, fault, self._answer(seen, fault))

    def _pick(self, seen: Seen) -> Fault:
        for fault in self.faults:
            kind_fits = fault.on == seen.kind or (not fault.on and seen.kind != "token")
            fits = kind_fits and fault.method in ("", seen.method) and fault.reference in ("", seen.reference)
            if fits and fault.times != 0:
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return Fault()

    async def _hang(self) -> None:
        resumed = self._resumed
        self.stalled.set()
        await resumed.wait()

    async def _send(self, writer: asyncio.StreamWriter, seen: Seen, fault: Fault, answer: _Answer) -> bool:
        body = _spoil(answer, fault)
        headers = {"Content-Length": str(len(body)), **answer.headers, **fault.headers}
        if fault.no_length:
            headers |= {"Content-Length": "", "Connection": "close"}
        lines = [
            f"HTTP/1.1 {answer.status} Stand-in",
            *(f"{name}: {value}" for name, value in headers.items() if value),
        ]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        if seen.method != "HEAD":
            await self._send_body(writer, seen, fault, body)
        await writer.drain()
        if fault.no_length:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        return not fault.no_length and seen.headers.get("connection", "").lower() != "close"

    async def _send_body(self, writer: asyncio.StreamWriter, seen: Seen, fault: Fault, body: bytes) -> None:
        at = 0
        stops = sorted({stop for stop in (fault.cut_after, fault.hang_after) if stop is not None and stop <= len(body)})
        for stop in [*stops, len(body)]:
            while at < stop:
                step = 64 * 1024 if fault.drip_bytes_s is None else max(1, fault.drip_bytes_s // DRIP_TICKS_PER_S)
                piece = body[at : min(at + step, stop)]
                writer.write(piece)
                await writer.drain()
                at += len(piece)
                self.sent_bytes[seen.kind, seen.reference] += len(piece)
                if fault.drip_bytes_s is not None:
                    await asyncio.sleep(len(piece) / fault.drip_bytes_s)
            if stop == fault.cut_after:
                raise ConnectionResetError
            if stop == fault.hang_after:
                await self._hang()

    # What a registry would say.

    def _answer(self, seen: Seen, fault: Fault) -> _Answer:
        if fault.status:
            extra = {"WWW-Authenticate": 'Basic realm="standin"'} if fault.status == 401 else {}
            return _error(fault.status, "FAULT", extra)
        if fault.redirect:
            return _Answer(307, {"Location": fault.redirect.replace("{target}", seen.target)})
        if fault.html:
            return _Answer(200, {"Content-Type": "text/html"}, b"<html>Please log in</html>")
        if seen.kind == "token":
            return self._token(seen)
        if seen.kind == "signed":
            return self._signed(seen, fault)
        refused = self._refused(seen)
        answer = refused or self._content(seen, fault)
        if fault.no_digest or not self.digest_header:
            answer.headers.pop("Docker-Content-Digest", None)
        if self.ratelimit is not None:
            remaining, limit, window = self.ratelimit
            answer.headers |= {
                "ratelimit-limit": f"{limit};w={window}",
                "ratelimit-remaining": f"{remaining};w={window}",
            }
        return answer

    def _refused(self, seen: Seen) -> _Answer | None:
        given = seen.headers.get("authorization", "")
        if self.basic is not None and given != _basic(*self.basic):
            return _error(401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="standin, \\"quoted\\""'})
        if self.bearer is not None:
            scope, until = self.bearer.issued.get(given.removeprefix("Bearer "), ("", 0.0))
            wanted = f"repository:{seen.name}:pull" if seen.name else ""
            wanted = "registry:catalog:*" if seen.kind == "catalog" else wanted
            if time.monotonic() >= until or scope != wanted:
                realm = self.bearer.realm or f"{self.url}/token"
                line = f'Bearer realm="{realm}",service="{self.bearer.service}",scope="{wanted}"'
                return _error(401, "UNAUTHORIZED", {"WWW-Authenticate": line})
        return None

    def _token(self, seen: Seen) -> _Answer:
        bearer = self.bearer or Bearer()
        if bearer.username and seen.headers.get("authorization") != _basic(bearer.username, bearer.password):
            return _error(401, "UNAUTHORIZED")
        scope = parse_qs(urlsplit(seen.target).query).get("scope", [""])[0]
        token = f"token-{len(self.seen)}-{len(bearer.issued)}"
        bearer.issued[token] = (scope, time.monotonic() + bearer.life_s)
        body = json.dumps({bearer.field_name: token, "expires_in": bearer.life_s}).encode()
        return _Answer(200, {"Content-Type": "application/json"}, bearer.answer or body)

    def _signed(self, seen: Seen, fault: Fault) -> _Answer:
        if parse_qs(urlsplit(seen.target).query).get("signature") != [f"{self._signature}+/="]:
            return _error(403, "EXPIRED")
        return self._bytes(seen, fault, self.blobs.get(seen.reference), {}, "BLOB_UNKNOWN")

    def _content(self, seen: Seen, fault: Fault) -> _Answer:
        if seen.kind == "base":
            return _Answer(200, {"Content-Type": "application/json"}, b"{}")
        if seen.kind == "manifest":
            digest = self.tags.get(seen.name, {}).get(seen.reference, seen.reference)
            media_type, data = self.manifests.get((seen.name, digest), ("", None))
            headers = {"Content-Type": media_type, "Docker-Content-Digest": digest}
            return self._bytes(seen, fault, data, headers, "MANIFEST_UNKNOWN")
        if seen.kind == "blob":
            if self.signed_at is not None and seen.reference in self.blobs and seen.method == "GET":
                return _Answer(307, {"Location": self.signed_at._sign(seen.reference, self.blobs)})
            headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": seen.reference}
            return self._bytes(seen, fault, self.blobs.get(seen.reference), headers, "BLOB_UNKNOWN")
        if seen.kind == "tags":
            return self._list_tags(seen)
        if seen.kind == "catalog" and self.lists_repositories:
            body = json.dumps({"repositories": sorted(self.tags)}).encode()
            return _Answer(200, {"Content-Type": "application/json"}, body)
        if seen.kind == "referrers" and self.referrers_api:
            return self._list_referrers(seen)
        return _error(404, "UNSUPPORTED")

    def _sign(self, digest: str, blobs: Mapping[str, bytes]) -> str:
        self.blobs[digest] = blobs[digest]
        return f"{self.url}/signed/{digest}?signature={quote(f'{self._signature}+/=', safe='')}"

    def _bytes(self, seen: Seen, fault: Fault, data: bytes | None, headers: dict[str, str], unknown: str) -> _Answer:
        if data is None:
            return _error(404, unknown)
        if fault.flip is not None:
            data = data[: fault.flip] + bytes([data[fault.flip] ^ 1]) + data[fault.flip + 1 :]
        headers |= {"ETag": f'"{seen.reference}"', "Accept-Ranges": "bytes"}
        wanted = seen.headers.get("range", "")
        if not wanted.startswith("bytes=") or fault.ignore_range or seen.method == "HEAD":
            return _Answer(200, headers | ({"Content-Length": str(len(data))} if seen.method == "HEAD" else {}), data)
        first, _, last = wanted[6:].partition("-")
        start, end = int(first), min(int(last) + 1 if last else len(data), len(data))
        if start >= end:
            return _Answer(416, {"Content-Range": f"bytes */{len(data)}"})
        return _Answer(206, headers | {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}, data[start:end])

    def _list_tags(self, seen: Seen) -> _Answer:
        if seen.name not in self.tags:
            return _error(404, "NAME_UNKNOWN")
        query = parse_qs(urlsplit(seen.target).query)
        tags = sorted(tag for tag in self.tags[seen.name] if tag > query.get("last", [""])[0])
        page = tags[: self.tags_per_page] if self.tags_per_page else tags
        headers = {"Content-Type": "application/json"}
        if len(page) < len(tags):
            headers["Link"] = f'</v2/{seen.name}/tags/list?last={page[-1]}&n={self.tags_per_page}>; rel="next"'
        return _Answer(200, headers, json.dumps({"name": seen.name, "tags": page}).encode())

    def _list_referrers(self, seen: Seen) -> _Answer:
        entries = []
        for (name, _), (media_type, data) in self.manifests.items():
            manifest = json.loads(data)
            if name == seen.name and manifest.get("subject", {}).get("digest") == seen.reference:
                entries.append({**_descriptor(media_type, data), "artifactType": manifest["artifactType"]})
        body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
        return _Answer(200, {"Content-Type": OCI_INDEX}, body)


def _route(path: str) -> tuple[str, str, str]:
    if path.startswith("/token"):
        return "token", "", ""
    if path.startswith("/signed/"):
        return "signed", "", path[8:]
    if path in ("/v2/", "/v2"):
        return "base", "", ""
    if path == "/v2/_catalog":
        return "catalog", "", ""
    if path.endswith("/tags/list"):
        return "tags", path[4:-10], ""
    head, _, reference = path.rpartition("/")
    name, _, kind = head.rpartition("/")
    kinds = {"manifests": "manifest", "blobs": "blob", "referrers": "referrers"}
    return (kinds[kind], name[4:], reference) if kind in kinds else ("other", "", "")


def _spoil(answer: _Answer, fault: Fault) -> bytes:
    body = answer.body
    if fault.gzip:
        answer.headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body)
    return body[: len(body) - fault.short] + b"x" * fault.long


def _error(status: int, code: str, headers: Mapping[str, str] | None = None) -> _Answer:
    body = json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode()
    return _Answer(status, {"Content-Type": "application/json", **(headers or {})}, body)


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
