"""A stand-in registry and clients of it, with clocks short enough for tests."""

from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network
from typing import Any

import pytest
from standin import Standin

from mirror.rules.routing import UpstreamRule
from mirror.upstream import Limits, Upstream
from mirror.upstream.addresses import FORBIDDEN

Connect = Callable[..., Upstream]
CLOCKS = Limits(connect_s=0.4, headers_s=1.0, stall_s=0.3, stall_bytes_s_min=10_000, listing_s=2.0, retry_pause_s=0.005)


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with Standin() as standin:
        yield standin


@pytest.fixture
async def content_network() -> AsyncIterator[Standin]:
    """Another machine, to which a registry redirects."""
    async with Standin("127.0.0.2") as standin:
        yield standin


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Make clients: `connect(standin, username=..., clocks=...)`. 127.0.0.9 stands for a forbidden address."""
    made: list[Upstream] = []

    def connect(standin: Standin | str, clocks: Limits = CLOCKS, **settings: Any) -> Upstream:
        url = standin if isinstance(standin, str) else standin.url
        knobs = {"resolver": settings.pop("resolver", None), "user_agent": "mirror/test"}
        rule = UpstreamRule("upstream.test", url, **settings)
        upstream = Upstream(rule, clocks=clocks, forbidden=(*FORBIDDEN, ip_network("127.0.0.9/32")), **knobs)
        made.append(upstream)
        return upstream

    yield connect
    for upstream in made:
        await upstream.close()


@pytest.fixture
def upstream(connect: Connect, standin: Standin) -> Upstream:
    return connect(standin)
