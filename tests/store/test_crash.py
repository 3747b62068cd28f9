"""kill -9 in the middle of pushes: nothing that was acknowledged is lost, nothing is half-visible."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from registries import HOME

from mirror.oci.digest import parse_digest
from mirror.oci.names import Repository
from mirror.store.verify import Verification

OURS = Repository(HOME, "", "team/app")
ROUNDS = 3
PUSHES = 60


async def pushed_until_killed(root: Path) -> set[str]:
    """Let a process push to `root`, kill it after PUSHES answers, return all that it acknowledged."""
    script = Path(__file__).with_name("pusher.py")
    process = await asyncio.create_subprocess_exec(sys.executable, script, root, stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    lines = []
    while len(lines) < PUSHES:
        line = (await process.stdout.readline()).decode()
        if line.startswith("sha256:"):
            lines.append(line.strip())
        elif not line:
            assert process.stderr is not None
            raise AssertionError((await process.stderr.read()).decode())
    process.kill()
    rest = (await process.stdout.read()).decode()
    await process.wait()
    return {*lines, *(line for line in rest.split("\n")[:-1] if line.startswith("sha256:"))}


async def test_a_killed_node_has_all_that_it_acknowledged_and_no_entry_without_its_file(root) -> None:
    """Issue section 6: kill -9 in the middle of pushes, restart, nothing lost, nothing half-visible."""
    acknowledged: set[str] = set()
    for _ in range(ROUNDS):
        acknowledged |= await pushed_until_killed(root.path)
        async with root.open() as store:
            for text in acknowledged:
                digest = parse_digest(text)
                entry = store.index.blob(digest)
                assert entry is not None
                assert store.index.member(OURS, digest) is not None
                assert store.files.path(digest).stat().st_size == entry.size
            for tag in store.index.tags(OURS, "", 10_000):
                assert store.index.read_tag(OURS.key(), tag.encode()) is not None
            found = [fault.kind async for fault in Verification(store).faults()]
            assert set(found) <= {"file without entry"}
