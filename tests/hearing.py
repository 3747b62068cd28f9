"""Somebody who is told events: a webhook's receiver for tests of a whole node.

async with receiver() as (url, told):
    async with running(tmp_path, webhooks=(Webhook(url),)):
        kind, event = await asyncio.wait_for(told.get(), WAIT_S_MAX)
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[str, asyncio.Queue[Any]]]:
    """Somebody who takes every event: its URL, and what it was told."""
    told: asyncio.Queue[Any] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        told.put_nowait((request.headers["X-Mirror-Event"], json.loads(await request.read())))
        return web.Response()

    runner = web.AppRunner(web.Application(), shutdown_timeout=0.1)
    runner.app.router.add_post("/hook", receive)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", told
    finally:
        await runner.cleanup()
