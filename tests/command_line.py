"""The command line for tests that have a node of their own: `mirror WORDS --data ROOT`, in this process.

result = await asked(tmp_path, "repo", "list")
"""

import asyncio
from pathlib import Path

from click.testing import CliRunner, Result

from mirror.cli import main


def mirror(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--data", str(root)], env={"MIRROR_CONFIG": None})


async def asked(root: Path, *words: str) -> Result:
    """Run a command in a thread, for its node may be in this loop."""
    return await asyncio.to_thread(mirror, root, *words)
