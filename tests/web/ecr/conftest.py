"""What the tests of the control plane share: every handler over a fresh store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from control_calls import ControlCalls, control_calls


@pytest.fixture
async def ecr(tmp_path: Path) -> AsyncIterator[ControlCalls]:
    async with control_calls(tmp_path / "data") as opened:
        yield opened
