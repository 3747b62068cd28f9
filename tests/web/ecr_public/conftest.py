"""What the tests of ECR Public share: handlers over a fresh store, and calls of that service."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ecr_calls import EcrCalls, Refusal, ecr_calls


class PublicCalls:
    """The same calls, of ECR Public."""

    def __init__(self, ecr: EcrCalls) -> None:
        self.ecr = ecr
        self.push: Any = partial(ecr.push, service="ecr-public")
        self.push_list: Any = partial(ecr.push_list, service="ecr-public")
        self.pages: Any = partial(ecr.pages, service="ecr-public")

    async def __call__(self, operation: str, **values: Any) -> dict[str, Any]:
        return await self.ecr(operation, service="ecr-public", **values)

    async def refused(self, operation: str, **values: Any) -> Refusal:
        return await self.ecr.refused(operation, service="ecr-public", **values)


@pytest.fixture
async def public(tmp_path: Path) -> AsyncIterator[PublicCalls]:
    async with ecr_calls(tmp_path / "data") as opened:
        yield PublicCalls(opened)
