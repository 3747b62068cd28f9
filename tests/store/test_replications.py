"""The queue of replications: what an order takes back, what may be tried when, and how much waits."""

from collections.abc import Sequence

import pytest
from registries import HOME

from mirror.oci.digest import digest_of
from mirror.oci.names import Repository
from mirror.store.replications import Action, Lag, Order, Place, Replications, Shipment
from mirror.store.store import Store

APP, WEB = Repository(HOME, "", "team/app"), Repository(HOME, "", "team/web")
EAST, WEST = Place("us-east-1", HOME.account), Place("us-west-1", HOME.account)
ONE, TWO = digest_of(b"one"), digest_of(b"two")
AT = 1_700_000_000.0
NOW = AT + 1_000.0


def order(action: Action, name: str = "one", tag: str = "", at: Repository = APP, to: Place = EAST) -> Order:
    digest = None if action == "UNTAG" else {"one": ONE, "two": TWO}[name]
    return Order(at, to, action, digest, tag)


PUT_V1, PUT_BARE, PUT_V2 = order("PUT", tag="v1"), order("PUT"), order("PUT", "two", "v2")
UNTAG_V1, UNTAG_V2, DELETE_ONE, DELETE_TWO = (
    order("UNTAG", tag="v1"),
    order("UNTAG", tag="v2"),
    order("DELETE"),
    order("DELETE", "two"),
)
PUTS, DELETIONS = [PUT_V1, PUT_BARE, PUT_V2], [UNTAG_V1, UNTAG_V2, DELETE_ONE, DELETE_TWO]
ELSEWHERE = [order("PUT", tag="v1", at=WEB), order("PUT", tag="v1", to=WEST)]
DELETED_ELSEWHERE = [order("DELETE", at=WEB), order("UNTAG", tag="v1", to=WEST)]


@pytest.fixture
def queue(store: Store) -> Replications:
    return store.replications


async def taken(queue: Replications, place: Place) -> list[Shipment]:
    """Take all that is due at a place out of the queue, in its order."""
    found = []
    while (one := await queue.due(place, NOW)) is not None:
        await queue.drop(one)
        found.append(one)
    return found


async def waiting(queue: Replications) -> list[Order]:
    return [one.order for place in (EAST, WEST) for one in await taken(queue, place)]


@pytest.mark.parametrize(
    ("there", "asked", "left"),
    [
        (DELETIONS + DELETED_ELSEWHERE, PUT_V1, [UNTAG_V2, DELETE_TWO, *DELETED_ELSEWHERE]),
        (DELETIONS, PUT_BARE, [UNTAG_V1, UNTAG_V2, DELETE_TWO]),
        (PUTS + ELSEWHERE, DELETE_ONE, [PUT_V2, *ELSEWHERE]),
        (PUTS + ELSEWHERE, UNTAG_V1, [PUT_BARE, PUT_V2, *ELSEWHERE]),
        (PUTS, PUT_V1, [PUT_BARE, PUT_V2]),
        (DELETIONS, DELETE_ONE, [UNTAG_V1, UNTAG_V2, DELETE_TWO]),
    ],
)
async def test_an_order_stands_once_and_takes_back_what_it_makes_pointless(
    queue: Replications, there: Sequence[Order], asked: Order, left: Sequence[Order]
) -> None:
    """replications.py, `ask`: an image that is put is deleted no more, and the other way round; only there."""
    await queue.ask(there, AT)
    await queue.ask([asked], AT)
    found = await waiting(queue)
    assert len(found) == len(left) + 1
    assert set(found) == {*left, asked}


async def test_what_is_done_is_due_no_more_and_what_is_refused_is_later(queue: Replications) -> None:
    """replications.py: an order is open as long as it is IN_PROGRESS or FAILED."""
    await queue.ask(PUTS, AT)
    for _ in range(2):
        one = await queue.due(EAST, NOW)
        assert one is not None
        if one.order == PUT_V1:
            await queue.done(one, NOW)
        else:
            await queue.failed(one, "AccessDenied", "no", NOW + 60.0)
    assert [one.order for one in await taken(queue, EAST)] == [PUT_V2]
    assert await queue.next_due_at(EAST) == NOW + 60.0
    assert await queue.next_due_at(EAST, [APP]) is None
    again = await queue.due(EAST, NOW + 60.0)
    assert again is not None
    assert (again.order, again.status, again.tries) == (PUT_BARE, "FAILED", 1)


async def test_lags_are_of_the_places_that_something_waits_for(queue: Replications) -> None:
    """Issue 4, section 1, "Visible": what waits, what of it was refused, since when; what arrived does not count."""
    assert await queue.lags() == {}
    await queue.ask([PUT_V1, order("PUT", tag="v1", to=WEST)], AT)
    await queue.ask([PUT_BARE, PUT_V2], AT + 1)
    first, west = await queue.due(EAST, NOW), await queue.due(WEST, NOW)
    assert first is not None
    assert west is not None
    await queue.failed(first, "AccessDenied", "no", NOW + 60.0)
    assert await queue.lags() == {EAST: Lag(3, 1, AT), WEST: Lag(1, 0, AT)}
    await queue.done(west, NOW)
    await queue.drop(first)
    assert await queue.lags() == {EAST: Lag(2, 0, AT + 1)}
    assert await queue.arrived() == {EAST: 0, WEST: 1}


async def test_what_has_arrived_outlives_its_rule_and_its_backfill(queue: Replications) -> None:
    """replications.py, `keep_only` and `call_off`: what is open is forgotten, refused or not."""
    await queue.ask([PUT_V1, PUT_BARE, PUT_V2, order("PUT", "two", "v3")], AT, backfill="b")
    await queue.ask([order("PUT", tag=tag, to=WEST) for tag in ("v1", "v2", "v3")], AT)
    for place in (EAST, WEST):
        arrived = await queue.due(place, NOW)
        assert arrived is not None
        await queue.done(arrived, NOW)
        refused = await queue.due(place, NOW)
        assert refused is not None
        await queue.failed(refused, "AccessDenied", "no", AT)
    await queue.call_off("b")
    counts = await queue.counts("b")
    assert (counts.waiting, counts.complete, counts.failed) == (0, 1, 0)
    await queue.keep_only({HOME: [WEST]})
    assert await queue.lags() == {WEST: Lag(2, 1, AT)}
    await queue.keep_only({HOME: [EAST]})
    assert await queue.lags() == {}
    assert [one.status for one in await queue.of_image(APP, ONE, "v1")] == ["COMPLETE", "COMPLETE"]
