"""A crash while bytes move into the archive or back: they are whole in the one place or in the other."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from archives import FIRST, LAYERS, archived, archivist, faults, is_in_archive, on, put_away, stored, turn

from mirror.store import archive as archive_module
from mirror.store import files as files_module
from mirror.store.archive import Copy


class Killed(BaseException):
    """The process ended here."""


@contextmanager
def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let nothing reach a disk from the given step on, of those that change one; list the steps that were begun."""
    done: list[str] = []
    steps = [
        (Path, "replace"),
        (Path, "rename"),
        (Path, "unlink"),
        (Path, "symlink_to"),
        (Copy, "go_on"),
        *((module, name) for module in (archive_module, files_module) for name in ("sync_file", "sync_directory")),
        *((module, "make_directory") for module in (archive_module,)),
    ]
    with monkeypatch.context() as patched:
        for owner, name in steps:
            real = getattr(owner, name)

            def act(*args: Any, real: Any = real, name: str = name, **more: Any) -> Any:
                done.append(name)
                if len(done) > step:
                    raise Killed
                return real(*args, **more)

            patched.setattr(owner, name, act)
        yield done


@pytest.mark.parametrize("direction", ["in", "out"])
async def test_a_kill_at_any_step_leaves_the_bytes_whole_in_one_place_or_the_other(
    direction: str, root, disk, push, make_image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RELIABILITY 3.1: a name is given after its bytes are safe, taken away after the other name is."""
    image = make_image(LAYERS[0])
    before, after = ("ACTIVE", "ARCHIVED") if direction == "in" else ("ARCHIVED", "ACTIVE")
    async with archived(root, disk) as store:
        await push.image(store, root.ours, image)
    step, was_killed = 0, True
    while was_killed:
        async with archived(root, disk) as store:
            await turn(store, root.ours, image, before)
            await archivist(store).work()
            assert await is_in_archive(store, disk) == (before == "ARCHIVED")
            await turn(store, root.ours, image, after)
            job = archivist(store)
            await asyncio.to_thread(store.archiving.archive.clear)
            job._is_clear = True
            was_killed = False
            with killed_at(step, monkeypatch) as done:
                try:
                    await job.work()
                except Killed:
                    was_killed = True
            assert await stored(store) == LAYERS[0], done
        async with archived(root, disk) as store:
            assert await stored(store) == LAYERS[0], done
            assert store.index.blob(FIRST) is not None, done
            await archivist(store).work()
            assert await is_in_archive(store, disk) == (after == "ARCHIVED"), done
            assert len(on(disk)) == (after == "ARCHIVED"), done
            assert await faults(store) == []
        step += 1
    assert step > 6, "the steps of a move were counted"


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Path]]]:
    """List what is named, synced and removed, with the path that a name is given to."""
    done: list[tuple[str, Path]] = []
    with monkeypatch.context() as patched:
        for owner, name, called in (
            (Path, "replace", "named"),
            (Path, "rename", "named"),
            (Path, "unlink", "removed"),
            (archive_module, "sync_file", "synced"),
            (archive_module, "sync_directory", "synced"),
            (files_module, "sync_file", "synced"),
            (files_module, "sync_directory", "synced"),
        ):
            real = getattr(owner, name)

            def act(*args: Any, real: Any = real, called: str = called, **more: Any) -> Any:
                answer = real(*args, **more)
                done.append((called, Path(args[-1])))
                return answer

            patched.setattr(owner, name, act)
        yield done


async def test_what_one_disk_has_is_safe_before_the_other_gives_it_up(
    root, disk, push, make_image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RELIABILITY 3.1: two disks have no common journal, so each sync counts, of bytes and of directories."""
    image = make_image(LAYERS[0])
    async with archived(root, disk) as store:
        await push.image(store, root.ours, image)
        await turn(store, root.ours, image, "ARCHIVED")
        here, there = store.files.path(FIRST), store.files.archived(FIRST)
        with recorded(monkeypatch) as done:
            await archivist(store).work()
        (_, staged), *rest = done[done.index(("synced", there.parent.parent)) - 1 :]
        assert staged.parent.name == "stage", "the bytes come first, then the directory that has a new shard"
        assert rest == [
            ("synced", there.parent.parent),
            ("named", there),
            ("synced", there.parent),
            ("named", here),
            ("synced", here.parent),
        ]
        await turn(store, root.ours, image, "ACTIVE")
        with recorded(monkeypatch) as done:
            await archivist(store).work()
        assert [step for step in done if step[1] not in (here, here.parent, there)][-1][0] == "synced", "the bytes"
        assert [step for step in done if step[1] in (here, here.parent, there)] == [
            ("named", here),
            ("synced", here.parent),
            ("synced", here.parent),
            ("removed", there),
        ]


async def test_a_link_that_a_power_cut_has_emptied_is_made_again(root, disk, push, make_image) -> None:
    """Some filesystems write the text of a long link later than its name."""
    image = make_image(LAYERS[0])
    async with archived(root, disk) as store:
        await put_away(store, push, root.ours, image)
        path = store.files.path(FIRST)
        path.unlink()
        path.symlink_to("nowhere")
        await archivist(store).work()
        assert await is_in_archive(store, disk)
