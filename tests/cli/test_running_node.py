"""Administration by the command line, with a whole node: a running one, or one that lives as long as the command."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from running import running

from mirror.cli import main

pytestmark = pytest.mark.usefixtures("logging_of_its_own")


def mirror(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--data", str(root)], env={"MIRROR_CONFIG": None})


def test_without_a_node_a_command_runs_one_for_itself(tmp_path: Path) -> None:
    """What one command made the next one finds; the socket is gone with each."""
    made = mirror(tmp_path, "iam", "create-user", "ci")
    assert (made.exit_code, made.output) == (0, "arn:aws:iam::000000000000:user/ci\n")
    assert mirror(tmp_path, "iam", "list-users").stdout.startswith("ci\t")
    refused = mirror(tmp_path, "iam", "create-user", "ci")
    assert (refused.exit_code, refused.stderr.partition(": User")[0]) == (1, "mirror: EntityAlreadyExists")
    assert not (tmp_path / "admin.sock").exists()


async def test_a_running_node_is_asked_and_knows_at_once(tmp_path: Path) -> None:
    """The store is the node's alone: the command talks to it instead of opening it."""

    async def said(*words: str) -> str:
        result = await asyncio.to_thread(mirror, tmp_path, *words)
        assert result.exit_code == 0, result.output
        return str(result.stdout)

    async with running(tmp_path) as node:
        await said("repo", "create", "team/app")
        status, _, body = await node.fetch("/v2/team/app/tags/list")
        assert (status, body) == (200, b'{"name":"team/app","tags":[]}')
        assert (await said("repo", "list")).startswith("team/app\tMUTABLE\t")
        await said("repo", "delete", "team/app")
        assert (await node.fetch("/v2/team/app/tags/list"))[0] == 404
