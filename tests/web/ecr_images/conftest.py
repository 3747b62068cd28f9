"""What the tests of images share: handlers over a fresh store, with one repository in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ecr_calls import APP, EcrCalls, ecr_calls


@pytest.fixture
async def ecr(tmp_path: Path) -> AsyncIterator[EcrCalls]:
    async with ecr_calls(tmp_path / "data") as opened:
        await opened.make(APP)
        yield opened
