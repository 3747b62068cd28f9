"""`mirror backup` and `mirror restore` with whole nodes: consistent while one serves, and all of it there again."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from command_line import asked
from processes import command, serving
from pushing import PushedImage, push_blob, push_image
from running import RunningNode, running

PUSHERS = 3
IMAGES_MIN = 20  # pushed while the backup goes on, or the test would show nothing
pytestmark = pytest.mark.usefixtures("logging_of_its_own")


async def tags_of(node: RunningNode, name: str) -> list[str]:
    status, _, body = await node.fetch(f"/v2/{name}/tags/list")
    return json.loads(body)["tags"] if status == 200 else []


async def pull_whole(node: RunningNode, name: str, tag: str) -> None:
    """Pull an image with all that it names."""
    status, _, body = await node.fetch(f"/v2/{name}/manifests/{tag}")
    assert status == 200, (tag, body)
    manifest = json.loads(body)
    for blob in (manifest["config"], *manifest["layers"]):
        status, _, data = await node.fetch(f"/v2/{name}/blobs/{blob['digest']}")
        assert (status, len(data)) == (200, blob["size"]), (tag, blob)


async def delete(node: RunningNode, name: str, image: PushedImage) -> None:
    async with node.request("DELETE", f"/v2/{name}/manifests/{image.digest}") as response:
        assert response.status == 202


async def test_a_backup_while_images_come_and_go_restores_to_a_node_that_serves_all_it_names(tmp_path: Path) -> None:
    """Issue 5, "Integrity": `mirror backup DIR` / `restore`, consistent while serving."""
    root, kept, new = tmp_path / "store", tmp_path / "backup", tmp_path / "new"
    enough, over = asyncio.Event(), asyncio.Event()
    pushed: list[str] = []

    async def push(node: RunningNode, worker: int) -> None:
        for number in range(10_000):
            if over.is_set():
                return
            tag = f"w{worker}-{number}"
            image = await push_image(node, "team/app", tag)
            pushed.append(tag)
            if number % 3 == 2:
                await delete(node, "team/app", image)
            if len(pushed) >= IMAGES_MIN:
                enough.set()

    async with running(root) as node:
        await push_image(node, "team/app", "before")
        async with asyncio.TaskGroup() as group:
            for worker in range(PUSHERS):
                group.create_task(push(node, worker))
            first = await asked(root, "backup", str(kept), "--with-key")
            await enough.wait()
            told = await asked(root, "backup", str(kept), "--json")
            over.set()
    assert (first.exit_code, told.exit_code) == (0, 0), first.output + told.output
    manifest = json.loads(told.stdout)
    assert manifest["tags"] > 1 and manifest["missing"] == 0
    shutil.rmtree(root)
    restored = await asked(new, "restore", str(kept))
    assert restored.exit_code == 0, restored.output
    assert f"{manifest['blobs']} blobs, " in restored.stdout
    assert restored.stderr == ""
    verified = await asked(new, "verify")
    assert (verified.exit_code, verified.stderr.splitlines()) == (0, ["0 faults"])
    async with running(new) as node:
        tags = await tags_of(node, "team/app")
        assert len(tags) == manifest["tags"]
        assert "before" in tags
        for tag in tags:
            await pull_whole(node, "team/app", tag)
        await push_image(node, "team/app", "after")


async def test_without_a_node_users_come_too_and_the_key_to_their_secrets_is_the_operators(tmp_path: Path) -> None:
    """The master key is kept out of the database's backups unless the operator wants it there."""
    root, new = tmp_path / "store", tmp_path / "new"
    async with running(root):
        pass
    assert (await asked(root, "iam", "create-user", "ci")).exit_code == 0
    assert (await asked(root, "backup", str(tmp_path / "backup"))).exit_code == 0
    assert not list((tmp_path / "backup").rglob("secrets.key"))
    restored = await asked(new, "restore", str(tmp_path / "backup"))
    assert (restored.exit_code, restored.stderr.partition(" into ")[0]) == (0, "mirror: put the node's secrets.key")
    without = await asked(new, "iam", "list-users")
    said = (
        f"mirror: {new}/secrets.key is not the key of this database: put the one in its place that was made with it\n"
    )
    assert (without.exit_code, without.stderr) == (1, said)
    shutil.copy(root / "secrets.key", new)
    assert (await asked(new, "iam", "list-users")).stdout.startswith("ci\t")


async def test_what_cannot_be_is_said_in_a_line(tmp_path: Path) -> None:
    """Bad input gets a precise error."""
    root, kept = tmp_path / "store", tmp_path / "backup"
    nowhere = await asked(root, "backup", str(kept))
    assert (nowhere.exit_code, nowhere.stderr.partition(": there is no store")[0]) == (1, f"mirror: {root}")
    assert not kept.exists()
    async with running(root) as node:
        digest = await push_blob(node, "team/app", b"precious")
        own = await asked(root, "backup", str(root))
        assert (own.exit_code, own.stderr) == (1, f"mirror: {root}: not empty, and no backup\n")
        assert (await asked(root, "backup", str(kept))).exit_code == 0
        over = await asked(root, "restore", str(kept))
        assert (over.exit_code, over.stderr.partition(": there is a store here")[0]) == (1, f"mirror: {root}")
        await asyncio.to_thread((root / "blobs" / "sha256" / digest[7:9] / digest[7:]).unlink)
        lost = await asked(root, "backup", str(tmp_path / "other"))
        assert (lost.exit_code, lost.stderr) == (1, f"mirror: {digest}: not on the disk\n")
    empty = await asked(tmp_path / "new", "restore", str(root))
    assert (empty.exit_code, empty.stderr) == (1, f"mirror: {root}/backup.json: No such file or directory\n")


async def test_a_node_that_is_killed_in_a_snapshot_leaves_nothing_behind(tmp_path: Path) -> None:
    """A snapshot lies where a start clears away what was being written."""
    async with serving(tmp_path) as node:
        await node.kill()
    left = tmp_path / "store" / "stage" / "writes" / "snapshot-x.db"
    left.write_bytes(b"half")
    assert (await command("reindex", "--data", str(tmp_path / "store")))[0] == 0
    assert not left.exists()
