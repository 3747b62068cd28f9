"""Administration by the command line, with a whole node: a running one, or one that lives as long as the command."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from accounts import ADMIN, OTHER, OWNER, PULLER, declare, populated
from command_line import asked
from pushing import push_image
from running import running

from mirror.rules.destinations import DestinationRule

WAIT_S_MAX = 10.0
pytestmark = pytest.mark.usefixtures("logging_of_its_own")


async def a_store(root: Path, **options: Any) -> None:
    """Have a node make its store at `root`, and end."""
    async with running(root, **options):
        pass


async def test_without_a_node_a_command_runs_one_for_itself(tmp_path: Path) -> None:
    """What one command made the next one finds; the socket is gone with each."""
    await a_store(tmp_path)
    made = await asked(tmp_path, "iam", "create-user", "ci")
    assert (made.exit_code, made.output) == (0, "arn:aws:iam::000000000000:user/ci\n")
    assert (await asked(tmp_path, "iam", "list-users")).stdout.startswith("ci\t")
    refused = await asked(tmp_path, "iam", "create-user", "ci")
    assert (refused.exit_code, refused.stderr.partition(": User")[0]) == (1, "mirror: EntityAlreadyExists")
    assert not (tmp_path / "admin.sock").exists()


async def test_a_command_that_was_not_told_of_the_file_leaves_declared_users_alone(tmp_path: Path) -> None:
    """The node alone makes users be what `[iam] file` says: a command needs no more than the store's place."""
    root = tmp_path / "store"
    await a_store(root, iam=declare(tmp_path, [PULLER]))
    (root / "root.credentials").unlink()
    listing = ("iam", "list-users", "--account", OWNER)
    before = (await asked(root, *listing)).stdout
    assert before.startswith(f"{PULLER.name}\t")
    assert (await asked(root, "repo", "list")).exit_code == 0
    assert (await asked(root, *listing)).stdout == before
    assert not (root / "root.credentials").exists()


async def test_how_far_places_are_behind_is_told(tmp_path: Path) -> None:
    """Issue 4, section 1, "Visible": what waits, and which images are refused for what reason."""
    async with populated(tmp_path) as town:
        place = {"region": "us-east-1", "registryId": OTHER}
        rules = {"rules": [{"destinations": [place]}]}
        await town.call(ADMIN, "ecr", "PutReplicationConfiguration", replicationConfiguration=rules)
        await push_image(town.client(ADMIN), "team/app", "v1")
        async with asyncio.timeout(WAIT_S_MAX):
            while "AccessDenied" not in (told := await asked(tmp_path / "store", "replication", "status")).stdout:
                await asyncio.sleep(0.02)
        place_line, _, refused_line = told.stdout.splitlines()
        assert place_line.split("\t")[:5] == ["us-east-1", OTHER, "0", "1", "1"]
        assert refused_line.split("\t")[:2] == [f"{OTHER} in us-east-1", "team/app:v1"]
        waiting = f'mirror_replication_waiting{{account="{OTHER}",region="us-east-1"}} 1.0'
        async with asyncio.timeout(WAIT_S_MAX):
            while waiting.encode() not in (await town.node.fetch("/metrics"))[2]:
                await asyncio.sleep(0.1)


async def test_what_is_here_is_sent_to_a_destination_when_it_is_asked_for(tmp_path: Path) -> None:
    """Issue 4, section 1: a backfill from the beginning."""
    root, away = tmp_path / "store", DestinationRule("backup", "http://127.0.0.1:9")
    async with populated(tmp_path) as town:
        await push_image(town.client(ADMIN), "team/app", "v1")
    async with populated(tmp_path, destinations=(away,)):
        assert (await asked(root, "replication", "status")).stdout == ""
        told = await asked(root, "replication", "backfill", "backup", "--account", OWNER)
        assert told.stdout.startswith("on their way: 1;"), told.output
        assert (await asked(root, "replication", "status")).stdout.split("\t")[:4] == ["backup", "", "0", "1"]
        wrong = await asked(root, "replication", "backfill", "elsewhere")
        assert (wrong.exit_code, wrong.stderr) == (
            1,
            f"mirror: ValidationException: The registry of {OWNER} has no destination 'elsewhere'\n",
        )


async def test_a_running_node_is_asked_and_knows_at_once(tmp_path: Path) -> None:
    """The store is the node's alone: the command talks to it instead of opening it."""

    async def said(*words: str) -> str:
        result = await asked(tmp_path, *words)
        assert result.exit_code == 0, result.output
        return str(result.stdout)

    async with running(tmp_path) as node:
        await said("repo", "create", "team/app")
        status, _, body = await node.fetch("/v2/team/app/tags/list")
        assert (status, body) == (200, b'{"name":"team/app","tags":[]}')
        assert (await said("repo", "list")).startswith("team/app\tMUTABLE\t")
        await said("repo", "delete", "team/app")
        assert (await node.fetch("/v2/team/app/tags/list"))[0] == 404
