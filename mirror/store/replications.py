"""Replications: the durable queue of what goes to other registries, and what became of it.

One row for each image, tag and destination: work as long as it is not done, and afterwards the answer to "has it
arrived?". The queue is filled in the transaction that moves the consumer's cursor, so each change is asked for once.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.names import Registry, Repository, read_registry
from mirror.store import tables
from mirror.store.database import Database
from mirror.store.ledger import Entry, Ledger
from mirror.store.rows import put_rows

Action = Literal["PUT", "UNTAG", "DELETE"]
Status = Literal["IN_PROGRESS", "COMPLETE", "FAILED"]

Image = tuple[Repository, Digest]

REASON_CHARS_MAX: Final = 1_000
_table: Final = tables.replications
_OPEN: Final = _table.c.status.in_(("IN_PROGRESS", "FAILED"))  # still to be done


@dataclass(frozen=True, slots=True)
class Place:
    """A destination: the registry of an account in a region; with no account, one of any kind by its own name."""

    region: str
    account: str

    def __str__(self) -> str:
        return f"{self.account}/{self.region}" if self.account else self.region


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done at a place: an image put there (with a tag, or ""), a tag taken away, an image deleted."""

    repository: Repository
    place: Place
    action: Action
    digest: Digest | None
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Shipment:
    """An order and what became of it. Times in unix seconds; `tries` counts those that failed."""

    id: int
    order: Order
    status: Status
    failure: str
    reason: str
    tries: int


@dataclass(frozen=True, slots=True)
class Lag:
    """How much waits for a place: orders that are not done, those of them that were refused, the oldest one's time."""

    waiting: int
    failed: int
    oldest_at: float | None


@dataclass(frozen=True, slots=True)
class Read:
    """What a consumer of the log has read: up to which change, and the images that are gone by it."""

    consumer: str
    seq: int = 0
    gone: Sequence[Image] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """How the orders of a backfill stand, and why some were refused. `ended_at`: the last one that arrived."""

    waiting: int
    complete: int
    failed: int
    failures: tuple[str, ...]
    ended_at: float | None


NOTHING: Final = Read("")
NO_LAG: Final = Lag(0, 0, None)
Follower = Callable[[set[Place]], object]  # told of the places that something was asked for


class Replications:
    """The queue of one node, for all its registries and places."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger
        self.followers: list[Follower] = []

    async def ask(self, orders: Sequence[Order], at: float, *, backfill: str = "", read: Read = NOTHING) -> None:
        """Put orders into the queue, and what was read of the log for them, in one transaction.

        One that is there already is asked for anew; an image that is put is deleted no more, and the other way round.
        `backfill` is the id of the one that asks.
        """

        async def put(entry: Entry) -> None:
            for repository, digest in read.gone:
                same = (*_of(repository), _table.c.digest == str(digest), _table.c.action == "PUT")
                await entry.connection.execute(delete(_table).where(*same))
            for order in orders:
                await entry.connection.execute(delete(_table).where(*_same(order)))
                await entry.connection.execute(delete(_table).where(*_pointless(order)))
                await entry.connection.execute(insert(_table).values(_asked(order, at, backfill)))
            if read.consumer:
                row = {"name": read.consumer, "seq": read.seq, "updated_at": at}
                await put_rows(entry.connection, tables.cursors, [row])

        await self._ledger.commit(put)
        for follow in self.followers:
            follow({order.place for order in orders})

    async def due(self, place: Place, now: float, busy: Collection[Repository] = ()) -> Shipment | None:
        """Return the oldest order for a place that may be tried now, but for repositories that are `busy`.

        Orders of one repository come in the order in which they were asked.
        """
        chosen = select(_table).where(*_waiting(place, busy), _table.c.due_at <= now)
        found = await self._rows(chosen.order_by(_table.c.id).limit(1))
        return found[0] if found else None

    async def next_due_at(self, place: Place, busy: Collection[Repository] = ()) -> float | None:
        """Return when the next such order may be tried, None where there is none."""
        chosen = select(func.min(_table.c.due_at)).where(*_waiting(place, busy))
        async with self._database.read() as connection:
            return cast("float | None", (await connection.execute(chosen)).scalar())

    async def done(self, shipment: Shipment, at: float) -> None:
        """Say that an order is carried out. What is deleted there is remembered no more."""
        same = (_table.c.id == shipment.id,)
        values = {"status": "COMPLETE", "failure": "", "reason": "", "done_at": at}
        put = shipment.order.action == "PUT"
        await self._run(update(_table).where(*same).values(**values) if put else delete(_table).where(*same))

    async def failed(self, shipment: Shipment, failure: str, reason: str, due_at: float) -> None:
        """Say that an order was refused, and when it may be tried again."""
        same = (_table.c.id == shipment.id,)
        values = {
            "status": "FAILED",
            "failure": failure,
            "reason": reason[:REASON_CHARS_MAX],
            "tries": shipment.tries + 1,
            "due_at": due_at,
        }
        await self._run(update(_table).where(*same).values(**values))

    async def drop(self, shipment: Shipment) -> None:
        """Forget an order: what it is about is gone."""
        await self._run(delete(_table).where(_table.c.id == shipment.id))

    async def keep_only(self, places: Mapping[Registry, Collection[Place]]) -> None:
        """Forget what waits for places that a registry does not replicate to any more."""
        kept = [
            and_(_table.c.registry == str(registry), _table.c.region == place.region, _table.c.account == place.account)
            for registry, found in places.items()
            for place in found
        ]
        await self._run(delete(_table).where(and_(_OPEN, ~or_(*kept)) if kept else _OPEN))

    async def of_image(self, repository: Repository, digest: Digest, tag: str = "") -> list[Shipment]:
        """List what became of an image, or of one tag of it, at each place."""
        chosen = select(_table).where(*_of(repository), _table.c.digest == str(digest), _table.c.action == "PUT")
        if tag:
            chosen = chosen.where(_table.c.tag == tag)
        return await self._rows(chosen.order_by(_table.c.region, _table.c.account, _table.c.id))

    async def counts(self, backfill: str) -> Counts:
        """Count the orders of a backfill."""
        of = _table.c.backfill == backfill
        chosen = select(_table.c.status, func.count(), func.max(_table.c.done_at)).where(of).group_by(_table.c.status)
        why = select(_table.c.failure).where(of, _table.c.status == "FAILED").distinct().order_by(_table.c.failure)
        async with self._database.read() as connection:
            found = {status: (count, at) for status, count, at in await connection.execute(chosen)}
            failures = tuple((await connection.execute(why)).scalars())
        count = {status: found.get(status, (0, None))[0] for status in ("IN_PROGRESS", "COMPLETE", "FAILED")}
        ended_at = found.get("COMPLETE", (0, None))[1]
        return Counts(count["IN_PROGRESS"], count["COMPLETE"], count["FAILED"], failures, ended_at)

    async def of_backfill(self, backfill: str, after: int, limit: int, status: str = "") -> list[Shipment]:
        """List up to `limit` orders of a backfill that are done or refused, behind the one of id `after`."""
        chosen = select(_table).where(_table.c.backfill == backfill, _table.c.id > after)
        chosen = chosen.where(_table.c.status == status if status else _table.c.status != "IN_PROGRESS")
        return await self._rows(chosen.order_by(_table.c.id).limit(limit))

    async def call_off(self, backfill: str) -> None:
        """Forget what a backfill asked for and has not arrived."""
        await self._run(delete(_table).where(_table.c.backfill == backfill, _OPEN))

    async def refused(self, limit: int) -> list[Shipment]:
        """List up to `limit` orders that a place refused last, the oldest first."""
        return await self._rows(select(_table).where(_table.c.status == "FAILED").order_by(_table.c.id).limit(limit))

    async def lags(self) -> dict[Place, Lag]:
        """Say how much waits for each place that anything waits for."""
        of = _table.c.region, _table.c.account
        failed = func.count().filter(_table.c.status == "FAILED")
        chosen = select(*of, func.count(), failed, func.min(_table.c.asked_at)).where(_OPEN).group_by(*of)
        async with self._database.read() as connection:
            return {Place(region, account): Lag(*lag) for region, account, *lag in await connection.execute(chosen)}

    async def arrived(self) -> dict[Place, int]:
        """Count what has arrived at each place that anything was ever asked for, and is not forgotten."""
        of = _table.c.region, _table.c.account
        chosen = select(*of, func.count().filter(_table.c.status == "COMPLETE")).group_by(*of).order_by(*of)
        async with self._database.read() as connection:
            return {Place(region, account): count for region, account, count in await connection.execute(chosen)}

    async def _rows(self, chosen: Any) -> list[Shipment]:
        async with self._database.read() as connection:
            return [_read(row) for row in (await connection.execute(chosen)).mappings()]

    async def _run(self, statement: Any) -> None:
        async def run(entry: Entry) -> None:
            await entry.connection.execute(statement)

        await self._ledger.commit(run)


def _asked(order: Order, at: float, backfill: str) -> dict[str, Any]:
    return {
        **_key(order),
        "backfill": backfill,
        "status": "IN_PROGRESS",
        "failure": "",
        "reason": "",
        "tries": 0,
        "asked_at": at,
        "due_at": at,
        "done_at": None,
    }


def _key(order: Order) -> dict[str, str]:
    return {
        "registry": str(order.repository.registry),
        "region": order.place.region,
        "account": order.place.account,
        "repository": order.repository.name,
        "action": order.action,
        "digest": str(order.digest) if order.digest else "",
        "tag": order.tag,
    }


def _same(order: Order) -> Iterator[ColumnElement[bool]]:
    """Choose the same order."""
    yield from (_table.c[name] == value for name, value in _key(order).items())


def _pointless(order: Order) -> Iterator[ColumnElement[bool]]:
    """Choose what an order makes pointless: deletions of what is put, puts of what is deleted."""
    yield from (*_of(order.repository), *_at(order.place))
    if order.action == "PUT":
        yield _table.c.action.in_(("UNTAG", "DELETE"))
        yield or_(_table.c.digest == str(order.digest), and_(_table.c.tag == order.tag, _table.c.tag != ""))
    else:
        yield _table.c.action == "PUT"
        yield _table.c.digest == str(order.digest) if order.action == "DELETE" else _table.c.tag == order.tag


def _waiting(place: Place, busy: Collection[Repository]) -> Iterator[ColumnElement[bool]]:
    yield from (*_at(place), _OPEN)
    if busy:
        yield ~or_(*(and_(*_of(one)) for one in busy))


def _at(place: Place) -> tuple[ColumnElement[bool], ...]:
    return _table.c.region == place.region, _table.c.account == place.account


def _of(repository: Repository) -> tuple[ColumnElement[bool], ...]:
    return _table.c.registry == str(repository.registry), _table.c.repository == repository.name


def _read(row: Mapping[Any, Any]) -> Shipment:
    repository = Repository(read_registry(row["registry"]), "", row["repository"])
    digest = parse_digest(row["digest"]) if row["digest"] else None
    order = Order(repository, Place(row["region"], row["account"]), row["action"], digest, row["tag"])
    return Shipment(row["id"], order, row["status"], row["failure"], row["reason"], row["tries"])
