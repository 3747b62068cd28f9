"""Blob files: complete and verified, or not there."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mirror.oci.digest import digest_of
from mirror.oci.errors import StorageFull
from mirror.store.disk import full_disk_refused
from mirror.store.files import Files, StoreLocked

DATA = b"some layer"
DIGEST = digest_of(DATA)


def test_published_bytes_are_opened_by_digest_and_size(files: Files) -> None:
    """RELIABILITY 3.1: reading opens first and holds the size against the index before it says anything."""
    staged = files.fill_path(DIGEST)
    staged.write_bytes(DATA)
    files.publish(staged, DIGEST)
    descriptor = files.open_blob(DIGEST, len(DATA))
    assert descriptor is not None
    assert os.read(descriptor, 100) == DATA
    os.close(descriptor)
    assert not staged.exists()


def test_a_file_of_another_size_or_none_is_not_opened(files: Files) -> None:
    """Issue section 7: a truncated blob is never served as a 200."""
    assert files.open_blob(DIGEST, len(DATA)) is None
    files.write(DIGEST, DATA)
    assert files.open_blob(DIGEST, len(DATA) + 1) is None


def test_publishing_twice_keeps_one_file(files: Files) -> None:
    """DESIGN section 1: the same digest is stored once."""
    files.write(DIGEST, DATA)
    files.write(DIGEST, DATA)
    assert list(files.scan()) == [(DIGEST, len(DATA))]


def test_a_failed_fsync_leaves_neither_stage_nor_blob(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """RELIABILITY 3.1 step 3: any error: delete, refetch; an fsync is never tried again on the same file."""
    calls: list[int] = []

    def broken(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    staged = files.fill_path(DIGEST)
    staged.write_bytes(DATA)
    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        files.publish(staged, DIGEST)
    assert len(calls) == 1
    assert not staged.exists()
    assert files.size(DIGEST) is None


def test_publishing_syncs_the_file_then_names_it_then_syncs_the_directory(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RELIABILITY finding 1: without fsync of the directory 144 of 300 power cuts lose the name."""
    seen: list[tuple[str, bool]] = []
    real = os.fsync

    def watched(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        seen.append(("directory" if path.is_dir() else "file", files.path(DIGEST).exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    files.write(DIGEST, DATA)
    assert seen == [("file", False), ("directory", True)]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_507(number: int) -> None:
    """RELIABILITY section 4: a push to a full disk is answered 507."""
    with pytest.raises(StorageFull), full_disk_refused():
        raise OSError(number, "no room")


def test_other_disk_errors_are_not_called_full() -> None:
    """An EIO is a broken disk, and somebody must see it."""
    with pytest.raises(PermissionError), full_disk_refused():
        raise PermissionError(errno.EACCES, "no")


def test_nobody_else_can_read_the_store(files: Files) -> None:
    """Issue section 6: images may be private; directories are 0700, files 0600."""
    files.write(DIGEST, DATA)
    assert stat.S_IMODE(files.path(DIGEST).stat().st_mode) == 0o600
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in files.root.rglob("*") if path.is_dir())


def test_a_second_process_is_told_that_the_store_is_in_use(files: Files) -> None:
    """RELIABILITY 3.3: one process only, by flock on our own lock file."""
    with pytest.raises(StoreLocked, match="in use by another process"):
        Files(files.root)
    code = "import sys; from pathlib import Path; from mirror.store.files import Files; Files(Path(sys.argv[1]))"
    second = subprocess.run([sys.executable, "-c", code, files.root], capture_output=True, check=False, timeout=30)
    assert b"StoreLocked" in second.stderr


def test_half_written_files_go_at_the_next_start_and_fills_stay(tmp_path: Path) -> None:
    """Issue section 4: an interrupted fill resumes after a restart."""
    files = Files(tmp_path)
    (tmp_path / "stage" / "writes" / "half").write_bytes(b"ha")
    files.fill_path(DIGEST).write_bytes(b"some")
    files.close()
    files = Files(tmp_path)
    assert not list((tmp_path / "stage" / "writes").iterdir())
    assert files.fill_path(DIGEST).read_bytes() == b"some"
    files.close()


def test_a_walk_finds_blobs_of_both_algorithms_and_no_strangers(files: Files) -> None:
    """DESIGN section 2: a file under blobs/ has a digest for a name."""
    other = digest_of(DATA, "sha512")
    files.write(DIGEST, DATA)
    files.write(other, DATA)
    files.path(DIGEST).with_name("README").write_bytes(b"not ours")
    assert set(files.scan()) == {(DIGEST, len(DATA)), (other, len(DATA))}
