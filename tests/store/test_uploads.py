"""Push uploads: chunks in, one verified blob out."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from registries import HOME

from mirror.oci.digest import digest_of
from mirror.oci.errors import (
    BlobUploadBusy,
    BlobUploadUnknown,
    DigestInvalid,
    StorageFull,
    Unavailable,
)
from mirror.oci.names import Repository
from mirror.store import uploads as limits
from mirror.store.files import Files
from mirror.store.space import Space
from mirror.store.uploads import UPLOAD_IDLE_S_MAX, Uploads

OURS = Repository(HOME, "", "team/app")
DATA = b"0123456789" * 1000


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.fixture
def uploads(files: Files) -> Uploads:
    return Uploads(files, Space(files.root))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_chunks_become_one_blob(uploads: Uploads, files: Files, algorithm: str) -> None:
    """distribution-spec, "Pushing a blob in chunks"; both algorithms of the image-spec."""
    digest = digest_of(DATA, algorithm)
    upload = uploads.create(OURS)
    await upload.append(pieces(DATA[:10], DATA[10:4000]))
    assert upload.offset == 4000
    await (await uploads.find(OURS, upload.session)).append(pieces(DATA[4000:]))
    entry = await upload.finish(digest)
    assert (entry.size, entry.data) == (len(DATA), DATA)
    assert files.path(digest).read_bytes() == DATA
    assert not list(files.uploads.iterdir())
    with pytest.raises(BlobUploadUnknown):
        await uploads.find(OURS, upload.session)


async def test_an_upload_of_nothing_is_the_empty_blob(uploads: Uploads, files: Files) -> None:
    """The empty blob is a blob: some tools push it as a config."""
    entry = await uploads.create(OURS).finish(digest_of(b""))
    assert (entry.size, entry.data, files.path(digest_of(b"")).read_bytes()) == (0, b"", b"")


async def test_a_large_upload_is_not_read_again_to_be_named(
    uploads: Uploads, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN walk 3: finalising a 5 GB upload re-reads nothing."""
    data = os.urandom(3 * 1024 * 1024 + 7)
    upload = uploads.create(OURS)
    await upload.append(pieces(*(data[at : at + 100_000] for at in range(0, len(data), 100_000))))
    # Every way that this module could read: an attempt would be a TypeError.
    monkeypatch.setattr(Path, "open", None)
    monkeypatch.setattr(Path, "read_bytes", None)
    entry = await upload.finish(digest_of(data))
    monkeypatch.undo()
    assert (entry.size, entry.data) == (len(data), None)
    assert files.path(digest_of(data)).read_bytes() == data


async def test_wrong_bytes_are_refused_and_the_session_is_gone(uploads: Uploads, files: Files) -> None:
    """distribution-spec: DIGEST_INVALID; nothing wrong is ever published."""
    upload = uploads.create(OURS)
    await upload.append(pieces(b"other"))
    with pytest.raises(DigestInvalid, match=f"sha256:{hashlib.sha256(b'other').hexdigest()}"):
        await upload.finish(digest_of(DATA))
    assert files.path(digest_of(b"other")).exists() is False
    assert not list(files.uploads.iterdir())
    with pytest.raises(BlobUploadUnknown):
        await uploads.find(OURS, upload.session)


async def test_a_broken_body_keeps_what_came_and_the_push_goes_on(uploads: Uploads) -> None:
    """distribution-spec, "Pushing a blob in chunks": the client asks where it is and resumes."""

    async def broken() -> AsyncIterator[bytes]:
        yield DATA[:700]
        yield DATA[700:800]
        raise ConnectionResetError

    upload = uploads.create(OURS)
    with pytest.raises(ConnectionResetError):
        await upload.append(broken())
    assert upload.offset == 800
    await upload.append(pieces(DATA[800:]))
    assert (await upload.finish(digest_of(DATA))).size == len(DATA)


async def test_a_client_that_is_gone_leaves_what_it_sent(uploads: Uploads) -> None:
    """RELIABILITY section 4: the request is cancelled, the session is not."""
    sent = asyncio.Event()

    async def stalls() -> AsyncIterator[bytes]:
        yield DATA[:900]
        sent.set()
        await asyncio.Event().wait()

    upload = uploads.create(OURS)
    request = asyncio.ensure_future(upload.append(stalls()))
    await sent.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert upload.offset == 900
    await upload.append(pieces(DATA[900:]))
    assert (await upload.finish(digest_of(DATA))).size == len(DATA)


async def test_two_requests_cannot_write_to_one_upload(uploads: Uploads) -> None:
    """uploads.py: two writers would mix their bytes."""
    upload = uploads.create(OURS)
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        started.set()
        await go_on.wait()
        yield DATA

    async with asyncio.TaskGroup() as group:
        group.create_task(upload.append(slow()))
        await started.wait()
        for second in (upload.append(pieces(b"x")), upload.finish(digest_of(DATA)), upload.cancel()):
            with pytest.raises(BlobUploadBusy):
                await second
        go_on.set()
    assert (await upload.finish(digest_of(DATA))).size == len(DATA)


async def test_a_session_of_another_repository_is_unknown(uploads: Uploads) -> None:
    """Issue section 6: nothing crosses repositories, also when the session's name leaks."""
    upload = uploads.create(OURS)
    with pytest.raises(BlobUploadUnknown):
        await uploads.find(Repository(HOME, "", "team/other"), upload.session)


async def test_a_session_survives_a_restart(uploads: Uploads, files: Files) -> None:
    """RELIABILITY section 4, "Restart mid-upload": the offset is the durable size, the hash state is rebuilt."""
    upload = uploads.create(OURS)
    await upload.append(pieces(DATA[:5000]))
    after = Uploads(files, Space(files.root))
    with pytest.raises(BlobUploadUnknown):
        await after.find(Repository(HOME, "", "team/other"), upload.session)
    one, same = await asyncio.gather(after.find(OURS, upload.session), after.find(OURS, upload.session))
    assert one is same
    assert one.offset == 5000
    await one.append(pieces(DATA[5000:]))
    assert (await one.finish(digest_of(DATA))).size == len(DATA)


async def test_a_cancelled_session_leaves_nothing(uploads: Uploads, files: Files) -> None:
    """distribution-spec: DELETE of an upload session."""
    upload = uploads.create(OURS)
    await upload.append(pieces(DATA))
    await upload.cancel()
    assert not list(files.uploads.iterdir())


async def test_no_file_descriptor_stays_open_between_chunks(uploads: Uploads) -> None:
    """RELIABILITY finding 10: out of descriptors, the node accepts and drops connections."""
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(50):
        await uploads.create(OURS).append(pieces(DATA))
    left = {os.readlink(f"/proc/self/fd/{fd}") for fd in set(os.listdir("/proc/self/fd")) - before if _is_open(fd)}
    assert not [path for path in left if "uploads" in path]


def _is_open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


async def test_idle_sessions_and_fills_are_swept_and_fresh_ones_stay(uploads: Uploads, files: Files) -> None:
    """RELIABILITY section 4: orphans are purged after 7 days."""
    stale, fresh, empty = (uploads.create(OURS) for _ in range(3))
    await stale.append(pieces(DATA))
    await fresh.append(pieces(DATA))
    digest = digest_of(DATA)
    files.fill_path(digest).write_bytes(b"half")
    long_ago = time.time() - UPLOAD_IDLE_S_MAX - 60
    for path in (*files.uploads.glob(f"{stale.session}*"), files.fill_path(digest)):
        os.utime(path, (long_ago, long_ago))
    empty.touched_at = long_ago
    await uploads.sweep(time.time())
    assert (await uploads.find(OURS, fresh.session)) is fresh
    assert not files.fill_path(digest).exists()
    for gone in (stale, empty):
        with pytest.raises(BlobUploadUnknown):
            await uploads.find(OURS, gone.session)


async def test_sessions_have_a_limit(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN section 5: every buffer has a limit."""
    monkeypatch.setattr(limits, "UPLOADS_MAX", 2)
    uploads.create(OURS)
    uploads.create(OURS)
    with pytest.raises(Unavailable):
        uploads.create(OURS)


async def test_a_full_disk_stops_an_upload_where_it_was(uploads: Uploads, files: Files) -> None:
    """RELIABILITY section 4, "Disk full": 507, and the session can go on when there is room."""
    upload = uploads.create(OURS)
    files.upload_path(upload.session).symlink_to("/dev/full")
    with pytest.raises(StorageFull):
        await upload.append(pieces(DATA))
    assert upload.offset == 0
    files.upload_path(upload.session).unlink()
    await upload.append(pieces(DATA))
    assert (await upload.finish(digest_of(DATA))).size == len(DATA)


async def test_what_a_failed_write_left_is_not_part_of_the_blob(uploads: Uploads, files: Files) -> None:
    """upload.py: file, hash and offset agree whatever happens."""
    upload = uploads.create(OURS)
    await upload.append(pieces(DATA[:100]))
    with files.upload_path(upload.session).open("ab") as file:
        file.write(b"half a batch")
    await upload.append(pieces(DATA[100:]))
    await upload.finish(digest_of(DATA))
    assert files.path(digest_of(DATA)).read_bytes() == DATA
