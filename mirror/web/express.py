"""The express lane: the hottest requests of an edge node, answered in one write (DESIGN section 4).

GET and HEAD of a warm manifest or blob, whole, unconditional, on an idle connection: small ones from memory, large ones
from their file. Whatever is the least bit unusual is left to the normal way, whose answers these must equal byte for
byte: a differential test holds it.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Final, TypeVar

from mirror import telemetry
from mirror.oci.digest import Digest, digest_from_key
from mirror.oci.errors import RegistryError
from mirror.oci.paths import Kind, parse_path
from mirror.registry.pull_times import Pulled, PullTimes
from mirror.registry.repositories import Repositories
from mirror.rules.access.actions import Step
from mirror.rules.freshness import fresh_s
from mirror.rules.routing import Routing, UpstreamRule
from mirror.store.entries import IS_ARCHIVED, IS_LINKED, IS_MANIFEST, IS_PROVEN, IS_WHOLE
from mirror.store.files import Files
from mirror.store.guard import Guard
from mirror.store.index import Index
from mirror.web.access_log import AccessLog, name_of
from mirror.web.admission import Admission
from mirror.web.blocks import Block, Verdict, judge
from mirror.web.heads import blob_headers, last_headers, manifest_headers
from mirror.web.visit import Visit

REQUEST_BYTES_MAX: Final = 4_096  # a usual request has 300 to 700
MEMO_MAX: Final = 4_096  # remembered requests, header blocks, targets and heads; a memo is emptied when it is full

K = TypeVar("K")
V = TypeVar("V")

_Held = tuple[bytes, bytes, int, bytes | None]  # digest, head, size, bytes where they are in the index
_NS: Final = re.compile(r"ns=[a-z0-9.:-]+")
_STEPS: Final[Mapping[tuple[Kind, bool], Step]] = {
    ("manifest", False): "get_manifest",
    ("manifest", True): "get_manifest",
    ("blob", False): "get_blob",
    ("blob", True): "head_blob",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A path that this lane can answer: `tag` or `digest` is empty."""

    key: bytes
    tag: bytes
    digest: bytes
    needed: int
    fresh_s: float  # for how long after its check a tag may be given; infinite for our own and immutable ones
    shared: bool  # may caches on the way keep the answer: it is for everybody
    until: float  # unix seconds; up to when the caller is who they said, infinite for nobody in particular
    pulled: Pulled | None  # where a GET of this is counted as a pull
    told: bool  # it is a HEAD of a blob of our own: who asks may be about to push an image that names it
    tally: telemetry.Tally
    principal: str  # what the access log says of who asks, and of what
    repository: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request that this lane may answer."""

    is_head: bool
    path: bytes
    target: Target


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """A head, and an open file of `size` bytes to send behind it; the receiver closes `descriptor`."""

    head: bytes
    descriptor: int
    size: int


class Express:
    """Answers what it can from the index. `remembered` has what whole requests, byte for byte, want."""

    def __init__(
        self,
        *,
        index: Index,
        files: Files,
        routing: Routing,
        admission: Admission,
        repositories: Repositories,
        pulls: PullTimes,
        guard: Guard,
        access: AccessLog,
    ) -> None:
        self.remembered: dict[bytes, Wanted] = {}
        self._index = index
        self._files = files
        self._routing = routing
        self.access = access
        self._admission = admission
        self._repositories = repositories
        self._pulls = pulls
        self._guard = guard
        self._generation = admission.generation
        self._blocks: dict[bytes, Block] = {}
        self._targets: dict[tuple[bytes, bool, str, str], Target | None] = {}
        self._heads: dict[tuple[bytes, bytes, bool, bool], bytes] = {}
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
        block, is_head = self._block(end + rest), parts[0] == b"HEAD"
        if block.verdict is not Verdict.EXPRESS:
            return block.verdict
        if self._generation != self._admission.generation:
            self._forget()
        target = self._find(parts[1], is_head, block)
        if target is None:
            return Verdict.NORMAL
        return _remember(self.remembered, data, Wanted(is_head, parts[1], target))

    def _block(self, block: bytes) -> Block:
        """Judge the bytes after the request line: `\\r\\n`, header lines, an empty line, nothing else."""
        known = self._blocks.get(block)
        return _remember(self._blocks, block, judge(block)) if known is None else known

    def _find(self, path: bytes, is_head: bool, block: Block) -> Target | None:
        """Return what a path means to whoever asks; a no is remembered too, until what it hangs on changes."""
        key = path, is_head, block.host, block.credential
        if key not in self._targets:
            _remember(self._targets, key, self._read(path, is_head, block))
        return self._targets[key]

    def answer(self, wanted: Wanted) -> bytes | FileAnswer | None:
        """Return the answer's bytes, or its head and file, or None for the normal way."""
        target = wanted.target
        if self._generation != self._admission.generation:
            self._forget()
            return None
        if target.until != inf and target.until <= time.time():
            return None  # a credential that has ended: these bytes are never good again
        held = self._held(target)
        if held is None:
            return None
        digest_key, head, size, data = held
        answer: bytes | FileAnswer | None
        if wanted.is_head:
            if not self._is_here(target, digest_key, None if data is not None else size):
                return None
            answer, size = head + self._end(), 0
        elif data is not None:
            answer = b"".join((head, self._end(), data))
        else:
            answer = self._open(head, target, size)
        if answer is not None:
            if target.pulled is not None:
                self._pulls.fresh[target.key + digest_key] = target.pulled
                target.pulled.count += 1
            target.tally.requests += 1
            target.tally.response_bytes += size
        return answer

    def _is_here(self, target: Target, digest_key: bytes, file_size: int | None) -> bool:
        """Tell whether a HEAD may say that bytes (a file's, where it has a size) are here. Of our own it is noted."""
        if file_size is not None and not self._files.has(digest_from_key(digest_key), file_size):
            return False
        if target.told:
            if self._guard.is_taken(digest_key):
                return False
            self._guard.note(digest_key)
        return True

    def _forget(self) -> None:
        """Forget what requests want: a name may mean another repository now, a caller may have lost a right."""
        self._generation = self._admission.generation
        self._targets.clear()
        self.remembered.clear()

    def _held(self, target: Target) -> _Held | None:
        """Return digest, head, size and, where they are in the index, bytes of what a target means."""
        return self._tagged(target) if target.tag else self._digested(target)

    def _open(self, head: bytes, target: Target, size: int) -> FileAnswer | None:
        descriptor = self._files.open_blob(digest_from_key(target.digest), size)
        return None if descriptor is None else FileAnswer(head + self._end(), descriptor, size)

    def _end(self) -> bytes:
        """Write what ends every head; it changes once a second."""
        (_, date), server = last_headers()
        if self._last[0] != date:
            self._last = (date, f"Date: {date}\r\n{server[0]}: {server[1]}\r\n\r\n".encode())
        return self._last[1]

    def _read(self, target: bytes, is_head: bool, block: Block) -> Target | None:
        """Read a path with at most `?ns=` behind it; None for what this lane does not answer, or must ask about."""
        if not target.isascii():
            return None
        path, _, query = target.decode().partition("?")
        if query and not _NS.fullmatch(query):
            return None
        try:
            route = parse_path(path)
        except RegistryError:
            return None
        step = _STEPS.get((route.kind, is_head))
        visit = self._admission.admit_now(block.host, block.credential, route, query, step) if step else None
        return self._target(visit, is_head) if visit is not None else None

    def _target(self, visit: Visit, is_head: bool) -> Target:
        route, repository = visit.route, visit.repository
        rule = self._routing.rule(repository)
        manifest = IS_MANIFEST | (0 if rule is None else IS_WHOLE)
        by_digest = isinstance(route.reference, Digest)
        return Target(
            key=repository.key(),
            tag=b"" if by_digest else str(route.reference).encode(),
            digest=route.digest.key() if by_digest else b"",
            needed=manifest if route.kind == "manifest" else IS_LINKED | IS_PROVEN,
            fresh_s=inf if rule is None or by_digest else self._fresh_s(visit, rule),
            shared=visit.shared,
            until=visit.caller.expires_at,
            pulled=self._pulls.pulled(repository) if not is_head and self._is_pull(visit) else None,
            told=is_head and route.kind == "blob" and repository.owned,
            tally=telemetry.tally("HEAD" if is_head else "GET", route.kind, repository.upstream),
            principal=name_of(visit.caller.principal),
            repository=str(repository),
        )

    def _fresh_s(self, visit: Visit, rule: UpstreamRule) -> float:
        tag = str(visit.route.reference)
        return inf if self._repositories.freezes(visit.repository, tag) else fresh_s(rule, tag)

    def _is_pull(self, visit: Visit) -> bool:
        return visit.route.kind == "manifest" and self._pulls.counts(visit.repository, visit.caller.principal)

    def _tagged(self, target: Target) -> _Held | None:
        held = self._index.read_tag(target.key, target.tag)
        if held is None:
            return None
        checked_at, digest_key, flags, media_type, size, data = held
        if data is None or not _serves(flags, target.needed):
            return None
        if target.fresh_s != inf and not 0 <= time.time() - checked_at < target.fresh_s:
            return None
        return digest_key, self._head(digest_key, media_type, size, by_tag=True, shared=target.shared), size, data

    def _digested(self, target: Target) -> _Held | None:
        held = self._index.read_digest(target.key, target.digest)
        if held is None:
            return None
        flags, media_type, size, data = held
        if not _serves(flags, target.needed):
            return None
        if not target.needed & IS_MANIFEST:
            media_type = b""
        elif data is None:
            return None
        head = self._head(target.digest, media_type, size, by_tag=False, shared=target.shared)
        return target.digest, head, size, data

    def _head(self, digest_key: bytes, media_type: bytes, size: int, *, by_tag: bool, shared: bool) -> bytes:
        """Write the head of a manifest, or of a blob where `media_type` is empty, but for its end."""
        key = (digest_key, media_type, by_tag, shared)
        known = self._heads.get(key)
        if known is not None:
            return known
        digest = str(digest_from_key(digest_key))
        if media_type:
            headers = manifest_headers(digest, media_type.decode(), size, by_tag=by_tag, shared=shared)
        else:
            headers = blob_headers(digest, size, shared=shared)
        lines = [f"{name}: {value}\r\n" for name, value in headers]
        return _remember(self._heads, key, f"HTTP/1.1 200 OK\r\n{''.join(lines)}".encode())


def _serves(flags: int, needed: int) -> bool:
    return flags & (needed | IS_ARCHIVED) == needed


def _remember(memo: dict[K, V], key: K, value: V) -> V:
    if len(memo) >= MEMO_MAX:
        memo.clear()
    memo[key] = value
    return value
