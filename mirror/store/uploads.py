"""The table of push uploads: sessions in memory, found again on disk after a restart, swept when nobody comes back.

Source: OCI distribution-spec v1.1, "Pushing blobs"; RELIABILITY section 4, "Restart mid-upload".
"""

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Final, NoReturn
from uuid import uuid4

import msgspec

from mirror.oci.errors import BlobUploadUnknown, Unavailable
from mirror.oci.names import Repository, read_registry
from mirror.store.files import Files
from mirror.store.space import Space
from mirror.store.upload import Note, Upload, note_path

UPLOADS_MAX: Final = 10_000  # open at once: far above a busy registry, and some hundred bytes each
UPLOAD_IDLE_S_MAX: Final = 7 * 86_400.0  # a week, as upload purging in other registries: a client that waits gave up
NOTE_BYTES_MAX: Final = 4_096  # two names: anything larger is no note of ours


class Uploads:
    """The open uploads of one store."""

    def __init__(self, files: Files, space: Space) -> None:
        self.space = space
        self._files = files
        self._open: dict[str, Upload] = {}

    def create(self, repository: Repository) -> Upload:
        """Open a session. Nothing is on disk before its first bytes. Raises Unavailable above UPLOADS_MAX."""
        if len(self._open) >= UPLOADS_MAX:
            raise Unavailable(f"{UPLOADS_MAX} uploads are open", headers={"Retry-After": "60"})
        return self._add(Upload(self._files, uuid4().hex, repository, self._end))

    async def find(self, repository: Repository, session: str) -> Upload:
        """Return the open session `session` of `repository`, from before a restart too. Raises BlobUploadUnknown."""
        upload = self._open.get(session)
        if upload is None:
            upload = await asyncio.to_thread(self._reopen, session)
            # Another request may have found it meanwhile: the first one's object is the session.
            upload = self._open.get(session) or self._add(upload)
        if upload.repository != repository:
            _unknown()
        return upload

    async def sweep(self, now: float) -> list[str]:
        """Drop upload sessions and staged fills untouched for UPLOAD_IDLE_S_MAX at `now` (unix seconds)."""
        busy = {session for session, upload in self._open.items() if upload.busy}
        before = now - UPLOAD_IDLE_S_MAX
        empty = [session for session, upload in self._open.items() if not upload.offset and upload.touched_at < before]
        swept = await asyncio.to_thread(self._sweep_disk, before, busy)
        for session in {*swept, *empty} - busy:
            self._open.pop(session, None)
        return swept

    def _add(self, upload: Upload) -> Upload:
        self._open[upload.session] = upload
        return upload

    def _end(self, session: str) -> None:
        self._open.pop(session, None)

    def _reopen(self, session: str) -> Upload:
        path = self._files.upload_path(session)
        try:
            with note_path(path).open("rb") as file:
                note = msgspec.json.decode(file.read(NOTE_BYTES_MAX), type=Note)
            upload = Upload(self._files, session, Repository(read_registry(note.registry), "", note.name), self._end)
            upload.resume(note.parts)
        except (FileNotFoundError, msgspec.DecodeError):
            _unknown()
        return upload

    def _sweep_disk(self, before: float, busy: set[str]) -> list[str]:
        stale = [path for path in _stale(self._files.uploads, before) if path.stem not in busy]
        for path in (*stale, *_stale(self._files.fills, before)):
            path.unlink(missing_ok=True)
        return sorted({path.stem for path in stale})


def _unknown() -> NoReturn:
    raise BlobUploadUnknown("no such upload session in this repository")


def _stale(directory: Path, before: float) -> list[Path]:
    """List the files last written before `before` (unix seconds); a note counts as old as the bytes beside it."""
    together: defaultdict[str, list[tuple[float, Path]]] = defaultdict(list)
    for path in directory.iterdir():
        try:
            together[path.stem].append((path.stat().st_mtime, path))
        except FileNotFoundError:
            continue
    return [path for group in together.values() if max(group)[0] < before for _, path in group]
