"""The express lane: the hottest requests of an edge node, answered in one write (DESIGN section 4).

GET and HEAD of a warm manifest or blob, whole, unconditional, on an idle connection: small ones from memory, large ones
from their file. Whatever is the least bit unusual is left to the normal way, whose answers these must equal byte for
byte: a differential test holds it.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Final, TypeVar

from mirror import telemetry
from mirror.oci.digest import Digest, digest_from_key
from mirror.oci.errors import RegistryError
from mirror.oci.names import Repository
from mirror.oci.paths import Route, parse_path
from mirror.rules.freshness import fresh_s
from mirror.rules.routing import Routing
from mirror.store.entries import IS_LINKED, IS_MANIFEST, IS_WHOLE
from mirror.store.files import Files
from mirror.store.index import Index
from mirror.web.access_log import AccessLog
from mirror.web.heads import blob_headers, last_headers, manifest_headers

REQUEST_BYTES_MAX: Final = 4_096  # a usual request has 300 to 700
LINES_MAX: Final = 64  # header lines; a usual request has ten
MEMO_MAX: Final = 4_096  # remembered requests, header blocks, targets and heads; a memo is emptied when it is full

K = TypeVar("K")
V = TypeVar("V")

_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e]*)")
_HOST: Final = re.compile(rb"[A-Za-z0-9._-]+(?::[0-9]{1,5})?")
# Headers that change nothing about the answer. Any other one sends the request the normal way.
_HARMLESS: Final = frozenset(
    {
        b"host",
        b"user-agent",
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"connection",
        b"baggage",
        b"traceparent",
    }
)
_BODY: Final = frozenset({b"content-length", b"transfer-encoding", b"upgrade", b"expect", b"trailer", b"te"})


_SINGLE: Final = frozenset({b"host", b"connection"})  # where a second one would change what the first one says


class Verdict(Enum):
    """What a block of header lines means for this lane."""

    EXPRESS = 1
    NORMAL = 2  # a plain request without a body that wants the normal way: a range, a condition
    OUT = 3  # what follows on this connection might not be a request: no express lane on it any more


@dataclass(frozen=True, slots=True)
class _Target:
    """A path that this lane can answer: `tag` or `digest` is empty."""

    key: bytes
    tag: bytes
    digest: bytes
    needed: int
    fresh_s: float  # for how long after its check a tag may be given; infinite for our own and immutable ones
    gets: telemetry.Tally
    heads: telemetry.Tally


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request that this lane may answer."""

    is_head: bool
    path: bytes
    target: _Target


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """A head, and an open file of `size` bytes to send behind it; the receiver closes `descriptor`."""

    head: bytes
    descriptor: int
    size: int


class Express:
    """Answers what it can from the index. `remembered` has what whole requests, byte for byte, want."""

    def __init__(self, *, index: Index, files: Files, routing: Routing, access: AccessLog, pull_allowed: bool) -> None:
        self.remembered: dict[bytes, Wanted] = {}
        self._index = index
        self._files = files
        self._routing = routing
        self._access = access
        self._pull_allowed = pull_allowed
        self._claims = index.claims
        self._verdicts: dict[bytes, Verdict] = {}
        self._targets: dict[bytes, _Target | None] = {}
        self._heads: dict[tuple[bytes, bytes, bool], bytes] = {}
        self._last: tuple[str, bytes] = ("", b"")

    def read(self, data: bytes) -> Wanted | Verdict:
        """Read what a connection received at once: what it wants, or why this lane does not answer it."""
        line, end, rest = data.partition(b"\r\n")
        parts = line.split(b" ")
        if (
            len(data) > REQUEST_BYTES_MAX
            or len(parts) != 3
            or parts[0] not in (b"GET", b"HEAD")
            or parts[2] != b"HTTP/1.1"
            or data.find(b"\r\n\r\n") != len(data) - 4
        ):
            return Verdict.OUT  # what comes next may be a body
        verdict = self._verdict(end + rest)
        target = self._find(parts[1]) if verdict is Verdict.EXPRESS else None
        if target is None:
            return Verdict.NORMAL if verdict is Verdict.EXPRESS else verdict
        return _remember(self.remembered, data, Wanted(parts[0] == b"HEAD", parts[1], target))

    def _verdict(self, block: bytes) -> Verdict:
        """Judge the bytes after the request line: `\\r\\n`, header lines, an empty line, nothing else."""
        known = self._verdicts.get(block)
        return _remember(self._verdicts, block, _judge(block)) if known is None else known

    def _find(self, path: bytes) -> _Target | None:
        if not self._pull_allowed:
            return None
        if path not in self._targets:
            _remember(self._targets, path, self._read(path))
        return self._targets[path]

    def answer(self, wanted: Wanted, remote: Callable[[], str | None]) -> bytes | FileAnswer | None:
        """Return the answer's bytes, or its head and file, or None for the normal way."""
        target = wanted.target
        if self._claims != self._index.claims:
            self._forget()
            return None
        held = self._held(target)
        if held is None:
            return None
        head, size, data = held
        answer: bytes | FileAnswer | None
        if wanted.is_head:
            answer, tally, size = head + self._end(), target.heads, 0
        elif data is not None:
            answer, tally = b"".join((head, self._end(), data)), target.gets
        else:
            answer, tally = self._open(head, target, size), target.gets
        if answer is not None:
            tally.requests += 1
            tally.response_bytes += size
            if self._access.enabled:
                self._access.note("HEAD" if wanted.is_head else "GET", wanted.path.decode(), 200, remote())
        return answer

    def _forget(self) -> None:
        """Forget what requests want: a name of the root upstream may have become our own."""
        self._claims = self._index.claims
        self._targets.clear()
        self.remembered.clear()

    def _held(self, target: _Target) -> tuple[bytes, int, bytes | None] | None:
        """Return head, size and, where they are in the index, bytes of what a target means."""
        return self._tagged(target) if target.tag else self._digested(target)

    def _open(self, head: bytes, target: _Target, size: int) -> FileAnswer | None:
        descriptor = self._files.open_blob(digest_from_key(target.digest), size)
        return None if descriptor is None else FileAnswer(head + self._end(), descriptor, size)

    def _end(self) -> bytes:
        """Write what ends every head; it changes once a second."""
        (_, date), server = last_headers()
        if self._last[0] != date:
            self._last = (date, f"Date: {date}\r\n{server[0]}: {server[1]}\r\n\r\n".encode())
        return self._last[1]

    def _read(self, target: bytes) -> _Target | None:
        """Read a path with at most `?ns=` behind it; None for what this lane does not answer."""
        if not target.isascii():
            return None
        path, _, query = target.decode().partition("?")
        ns = None
        if query:
            if not re.fullmatch(r"ns=[a-z0-9.:-]+", query):
                return None
            ns = query[3:]
        try:
            route = parse_path(path)
            if route.kind not in ("manifest", "blob"):
                return None
            repository = self._routing.route(route.name, ns, self._index.owned)
        except RegistryError:
            return None
        return self._target(route, repository)

    def _target(self, route: Route, repository: Repository) -> _Target:
        rule = self._routing.rule(repository)
        manifest = IS_MANIFEST | (0 if rule is None else IS_WHOLE)
        by_digest = isinstance(route.reference, Digest)
        return _Target(
            key=repository.key(),
            tag=b"" if by_digest else str(route.reference).encode(),
            digest=route.digest.key() if by_digest else b"",
            needed=manifest if route.kind == "manifest" else IS_LINKED,
            fresh_s=inf if rule is None or by_digest else fresh_s(rule, str(route.reference)),
            gets=telemetry.tally("GET", route.kind, repository.upstream),
            heads=telemetry.tally("HEAD", route.kind, repository.upstream),
        )

    def _tagged(self, target: _Target) -> tuple[bytes, int, bytes | None] | None:
        held = self._index.read_tag(target.key, target.tag)
        if held is None:
            return None
        checked_at, digest_key, flags, media_type, size, data = held
        if data is None or flags & target.needed != target.needed:
            return None
        if target.fresh_s != inf and not 0 <= time.time() - checked_at < target.fresh_s:
            return None
        return self._head(digest_key, media_type, size, by_tag=True), size, data

    def _digested(self, target: _Target) -> tuple[bytes, int, bytes | None] | None:
        held = self._index.read_digest(target.key, target.digest)
        if held is None:
            return None
        flags, media_type, size, data = held
        if flags & target.needed != target.needed:
            return None
        if not target.needed & IS_MANIFEST:
            media_type = b""
        elif data is None:
            return None
        return self._head(target.digest, media_type, size, by_tag=False), size, data

    def _head(self, digest_key: bytes, media_type: bytes, size: int, *, by_tag: bool) -> bytes:
        """Write the head of a manifest, or of a blob where `media_type` is empty, but for its end."""
        key = (digest_key, media_type, by_tag)
        known = self._heads.get(key)
        if known is not None:
            return known
        digest = str(digest_from_key(digest_key))
        headers = manifest_headers(digest, media_type.decode(), size, by_tag=by_tag)
        lines = [f"{name}: {value}\r\n" for name, value in (headers if media_type else blob_headers(digest, size))]
        return _remember(self._heads, key, f"HTTP/1.1 200 OK\r\n{''.join(lines)}".encode())


def _judge(block: bytes) -> Verdict:
    seen: dict[bytes, bytes] = {}
    lines = block[2:-4].split(b"\r\n")
    if len(lines) > LINES_MAX:
        return Verdict.OUT
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            return Verdict.OUT
        name = match[1].lower()
        if name in _BODY or (name in _SINGLE and name in seen):
            return Verdict.OUT
        seen[name] = match[2].strip()
    usual = _HARMLESS.issuperset(seen) and seen.get(b"connection", b"keep-alive").lower() == b"keep-alive"
    return Verdict.EXPRESS if usual and _HOST.fullmatch(seen.get(b"host", b"")) else Verdict.NORMAL


def _remember(memo: dict[K, V], key: K, value: V) -> V:
    if len(memo) >= MEMO_MAX:
        memo.clear()
    memo[key] = value
    return value
