"""Webhooks: real events of a real store, sent to a real receiver on loopback that is up, down or unwilling."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from registries import HOME
from stores import OURS, opened, push

from mirror.jobs.deliveries import ANSWER_BYTES_MAX, Hook
from mirror.jobs.webhooks import PACE, PAGE, Outcome, Pace, Webhook
from mirror.oci.names import Repository
from mirror.registry.events import IMAGE, PULL_THROUGH, Events
from mirror.rules.routing import Routing, UpstreamRule
from mirror.store.store import Store

EVENTS = Events(UUID(int=7), "us-east-1", Routing(HOME, [UpstreamRule("docker.io", "https://registry-1.docker.io")]))
HUB = Repository(HOME, "docker.io", "library/alpine")
QUICK = Pace(first_s=0.005, longest_s=0.02, refusals_max=3, save_every_s=0.01)
WAIT_S_MAX = 20.0

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def yes(_: web.Request) -> web.StreamResponse:
    return web.Response(status=204)


class Receiver:
    """Somebody who is told. `answer` may be changed while it runs; what was answered 2xx is `taken`."""

    def __init__(self) -> None:
        self.answer: Answer = yes
        self.heads: list[Any] = []
        self.bodies: list[bytes] = []
        self.taken: list[dict[str, Any]] = []
        self.arrived = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?key=a%2Fb"

    @property
    def tags(self) -> list[str]:
        return [event["detail"]["image-tag"] for event in self.taken]

    async def receive(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.heads.append((request.raw_path, request.headers))
        self.bodies.append(body)
        response = await self.answer(request)
        if response.status < 300:
            self.taken.append(json.loads(body))
        self.arrived.set()
        return response

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S_MAX):
            while not is_so():
                self.arrived.clear()
                await self.arrived.wait()

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """Listen; again on the same port the next time."""
        runner = web.AppRunner(web.Application(), shutdown_timeout=0.1)
        runner.app.router.add_post("/hook", self.receive)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(tmp_path / "data") as store:
        yield store


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with receiver.up():
        yield receiver


@asynccontextmanager
async def told(store: Store, hook: Hook, pace: Pace = QUICK) -> AsyncIterator[list[Outcome]]:
    """Run a webhook as the node does; give what became of its deliveries."""
    counted: list[Outcome] = []
    webhook = Webhook(
        hook, store.catalog, store.news, store.cursors, EVENTS, user_agent="mirror/x", counted=counted.append, pace=pace
    )
    # A new consumer begins now: its cursor is there before the test's first push.
    await store.cursors.read(f"webhook {hook.name}")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(webhook.run(), name="webhook")
        yield counted
        running.cancel()


async def cursor(store: Store, hook: Hook) -> int:
    return await store.cursors.read(f"webhook {hook.name}")


async def last(store: Store) -> int:
    return (await store.catalog.changes(0, 10_000))[-1].seq


async def test_an_event_is_a_signed_post(store: Store, receiver: Receiver, tmp_path: Path) -> None:
    """ECR.md 6.1: emit the same JSON to a webhook; the signature is over the bytes that were sent."""
    secret = tmp_path / "secret"
    secret.write_text("it is me\n# a second line\n")
    async with told(store, Hook(receiver.url, str(secret))):
        await push(store, OURS, "a", "v1")
        await receiver.until(lambda: bool(receiver.taken))
    ((target, head),), (body,) = receiver.heads, receiver.bodies
    signature = hmac.new(b"it is me", body, hashlib.sha256).hexdigest()
    assert target == "/hook?key=a%2Fb"
    assert head["X-Mirror-Signature-256"] == f"sha256={signature}"
    assert (head["X-Mirror-Event"], head["X-Mirror-Delivery"]) == (IMAGE, json.loads(body)["id"])
    assert (head["Content-Type"], head["User-Agent"]) == ("application/json", "mirror/x")


async def test_without_a_secret_nothing_is_signed(store: Store, receiver: Receiver) -> None:
    async with told(store, Hook(receiver.url)):
        await push(store, OURS, "a", "v1")
        await receiver.until(lambda: bool(receiver.taken))
    assert "X-Mirror-Signature-256" not in receiver.heads[0][1]


async def test_an_empty_secret_signs_nothing_and_sends_nothing(
    store: Store, receiver: Receiver, tmp_path: Path
) -> None:
    """What is signed with nothing, anybody can sign: it waits for the operator, and loses nothing."""
    secret = tmp_path / "secret"
    secret.write_text("\n")
    async with told(store, Hook(receiver.url, str(secret))) as counted:
        await push(store, OURS, "a", "v1")
        async with asyncio.timeout(WAIT_S_MAX):
            while "repeated" not in counted:
                await asyncio.sleep(0.001)
        assert receiver.heads == []
        secret.write_text("now\n")
        await receiver.until(lambda: receiver.tags == ["v1"])


async def test_what_happened_while_a_receiver_was_down_arrives_once_and_in_order(store: Store) -> None:
    """RELIABILITY, deliveries: nothing lost, nothing twice, nothing before its time."""
    receiver = Receiver()
    async with receiver.up():
        pass  # it has a port now, and nobody is there
    tags = [f"v{number}" for number in range(12)]
    async with told(store, Hook(receiver.url)) as counted:
        for tag in tags:
            await push(store, OURS, tag, tag)
        async with asyncio.timeout(WAIT_S_MAX):
            while counted.count("repeated") < 3:
                await asyncio.sleep(0.001)
        async with receiver.up():
            await receiver.until(lambda: len(receiver.taken) >= len(tags))
    assert receiver.tags == tags
    assert len({event["id"] for event in receiver.taken}) == len(tags)


async def test_a_receiver_in_trouble_is_asked_again_and_the_order_is_kept(store: Store, receiver: Receiver) -> None:
    """503, 429, a redirect (never followed) and a torn connection are about the moment, not about the event."""
    troubles: list[Any] = [503, 429, 302, None, 500, 408]

    async def answer(request: web.Request) -> web.StreamResponse:
        trouble = troubles.pop() if troubles else 200
        if trouble is None:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=trouble or 500, headers={"Location": receiver.url, "Retry-After": "0"})

    receiver.answer = answer
    async with told(store, Hook(receiver.url)) as counted:
        await push(store, OURS, "a", "v1", "v2")
        await receiver.until(lambda: len(receiver.taken) == 2)
    assert receiver.tags == ["v1", "v2"]
    assert counted.count("repeated") == 6


@pytest.mark.parametrize("status", [400, 410])
async def test_an_event_that_is_refused_is_parked_with_its_reason_and_the_next_goes_on(
    store: Store, receiver: Receiver, events: list[Any], status: int
) -> None:
    """A poisoned event must not keep the others: after so many refusals it is left behind, named in the log."""

    async def answer(request: web.Request) -> web.StreamResponse:
        poisoned = b'"image-tag":"bad"' in receiver.bodies[-1]
        return web.Response(status=status if poisoned else 200)

    receiver.answer = answer
    async with told(store, Hook(receiver.url)) as counted:
        await push(store, OURS, "a", "bad", "good")
        await receiver.until(lambda: receiver.tags == ["good"])
    assert counted[:3] == ["repeated", "repeated", "parked"]
    (parked,) = [event for event in events if event["event"] == "event parked"]
    assert (parked["reason"], parked["tries"]) == (f"answered {status}", 3)
    assert parked["seq"]
    assert "key=" not in str(events), "the URL may hold a secret"


async def test_a_hook_is_told_what_it_asked_for(store: Store, receiver: Receiver) -> None:
    """`filter`: event types, all where there are none."""
    async with told(store, Hook(receiver.url, types=(PULL_THROUGH,))):
        await push(store, OURS, "a", "ours")
        await push(store, HUB, "b", "cached")
        await receiver.until(lambda: bool(receiver.taken))
    assert receiver.tags == ["cached"]


async def test_what_was_delivered_before_a_crash_comes_again_with_its_id(store: Store, receiver: Receiver) -> None:
    """At least once: the cursor is written after the delivery, and the id is that of the event, not of the sending."""
    hook, never_saves = Hook(receiver.url), Pace(save_every_s=3_600.0, save_events_max=1_000)
    async with told(store, hook, never_saves):
        await push(store, OURS, "a", "v1")
        await receiver.until(lambda: len(receiver.taken) == 1)
        # As after a crash: the cursor on the disk has not heard of it.
        async with told(store, hook):
            await receiver.until(lambda: len(receiver.taken) == 2)
    first, again = receiver.taken
    assert first == again


async def test_a_stop_leaves_nothing_to_be_repeated(store: Store, receiver: Receiver) -> None:
    """The cursor is written when the task ends, whatever its pace."""
    hook, lazy = Hook(receiver.url), Pace(save_every_s=3_600.0, save_events_max=1_000)
    async with told(store, hook, lazy):
        await push(store, OURS, "a", "v1")
        await receiver.until(lambda: len(receiver.taken) == 1)
        # The answer is on its way: what is certain is that the next event is asked for after it.
        await push(store, OURS, "b", "v2")
        await receiver.until(lambda: len(receiver.taken) == 2)
    async with told(store, hook):
        await push(store, OURS, "c", "v3")
        await receiver.until(lambda: "v3" in receiver.tags)
    assert receiver.tags.count("v1") == 1


async def test_the_cursor_follows_also_where_there_is_nothing_to_tell(store: Store, receiver: Receiver) -> None:
    """What is no event is not read again at each start."""
    hook = Hook(receiver.url)
    async with told(store, hook):
        await store.catalog.create_repository(OURS, b'{"created_at": 1.0}', 1.0)
        async with asyncio.timeout(WAIT_S_MAX):
            while await cursor(store, hook) < await last(store):
                await asyncio.sleep(0.005)
    assert receiver.heads == []


async def test_a_cursor_is_not_written_for_every_event(store: Store, receiver: Receiver) -> None:
    """A cursor costs a commit: at most one a second or one a hundred events."""
    hook = Hook(receiver.url)
    start = await cursor(store, hook)
    async with told(store, hook, Pace(save_every_s=3_600.0, save_events_max=5)):
        await push(store, OURS, "a", "v1", "v2", "v3", "v4")
        await receiver.until(lambda: len(receiver.taken) == 4)
        assert await cursor(store, hook) == start
        await push(store, OURS, "b", "v5", "v6")
        await receiver.until(lambda: len(receiver.taken) == 6)
        assert await cursor(store, hook) > start


async def test_a_log_longer_than_a_page_is_told_without_gaps_and_doubles(store: Store, receiver: Receiver) -> None:
    """Where a page ends within a push, the manifest and its tag are on two pages: still one event."""
    hook, numbers = Hook(receiver.url), range(PAGE)
    await cursor(store, hook)
    await asyncio.gather(*(push(store, OURS, str(number), f"v{number}") for number in numbers))
    async with told(store, hook):
        await receiver.until(lambda: len(receiver.taken) >= PAGE)
        await push(store, OURS, "last", "last")
        await receiver.until(lambda: receiver.tags[-1] == "last")
    assert sorted(receiver.tags) == sorted(["last", *(f"v{number}" for number in numbers)])


async def test_an_answer_without_end_is_hung_up_on(store: Store, receiver: Receiver) -> None:
    """Every buffer has a limit: of an answer only the status counts."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=200)
        await response.prepare(request)
        try:
            for _ in range(4_000):
                await response.write(b"x" * ANSWER_BYTES_MAX)
        except ConnectionError:
            return response
        raise AssertionError("all of it was read")

    receiver.answer = answer
    async with told(store, Hook(receiver.url)) as counted:
        await push(store, OURS, "a", "v1", "v2")
        await receiver.until(lambda: len(receiver.taken) == 2)
    assert "repeated" not in counted


async def test_a_fault_of_ours_is_logged_and_tried_again(store: Store, receiver: Receiver, events: list[Any]) -> None:
    """A task that ends would be a promise that is broken until the next start."""

    class Faulty:
        faults = 2

        async def changes(self, after: int, limit: int) -> Any:
            if self.faults:
                self.faults -= 1
                raise OSError("the disk does not answer")
            return await store.catalog.changes(after, limit)

    webhook = Webhook(
        Hook(receiver.url), Faulty(), store.news, store.cursors, EVENTS, user_agent="mirror/x", pace=QUICK
    )
    await store.cursors.read(f"webhook {Hook(receiver.url).name}")
    await push(store, OURS, "a", "v1")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(webhook.run(), name="webhook")
        await receiver.until(lambda: receiver.tags == ["v1"])
        running.cancel()
    assert [event["event"] for event in events].count("webhook failed") == 2


def test_pauses_grow_and_end_at_their_longest() -> None:
    """Growing, jittered, five minutes at most; a receiver that asks for more gets it."""
    for tries in range(1, 40):
        full = min(300.0, 2.0 ** (tries - 1))
        assert full / 2 <= PACE.pause_s(tries, 0.0) <= full
    assert PACE.pause_s(1, 30.0) == 30.0
    assert PACE.pause_s(10_000, 0.0) <= 300.0
