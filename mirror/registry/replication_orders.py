"""Orders: what a change of a registry asks of the places that its images go to.

Source: ECR guide, "Private image replication"; ECR.md 2.4. Only what is pushed or restored here goes, one hop: what was
replicated to us goes no further, nor does what an upstream gave us. Deletions go where a rule says so. Pure.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Final

from mirror.oci.digest import Digest
from mirror.oci.names import Registry, Repository
from mirror.registry.replication_routes import Route, Way
from mirror.store.changes import Change
from mirror.store.replications import Order

RouteOf = Callable[[Registry], Route]
_DELETIONS: Final = frozenset({"tag.deleted", "manifest.deleted"})
_PUTS: Final = frozenset({"tag.set", "manifest.put", "manifest.status"})


def orders_of(changes: Iterable[Change], route_of: RouteOf) -> list[Order]:
    """List the orders that changes ask for, in their order. `changes` should not end within a transaction.

    An image that was pushed with a tag is asked for by its tag alone.
    """
    route_of = cache(route_of)  # of many changes of one registry: read once
    changes = [change for change in changes if _is_told(change)]
    tagged = {_image(change) for change in changes if change.kind == "tag.set"}
    gone = {_image(change) for change in changes if change.kind == "manifest.deleted"}
    found: dict[Order, None] = {}
    for change in changes:
        if change.kind == "manifest.put" and _image(change) in tagged:
            continue
        if change.kind == "tag.deleted" and change.digest is not None and _image(change) in gone:
            continue
        # The last time that something is asked for counts.
        for order in _orders(change, route_of(change.repository.registry)):
            found.pop(order, None)
            found[order] = None
    return list(found)


def _is_told(change: Change) -> bool:
    if change.kind not in _PUTS and change.kind not in _DELETIONS:
        return False
    return change.repository.owned and not change.repository.registry.public and not change.detail.get("origin")


def _image(change: Change) -> tuple[Repository, Digest | None, float]:
    return change.repository, change.digest, change.at


def _orders(change: Change, route: Route) -> Iterator[Order]:
    for way in route.ways(change.repository.name):
        order = _order(change, way)
        if order is not None and change.seq >= way.since and way.takes(order.tag):
            yield order


def _order(change: Change, way: Way) -> Order | None:
    repository = change.repository
    if change.kind == "manifest.status" and change.detail["status"] != "ACTIVE":
        return None
    if change.kind in _PUTS:
        return Order(repository, way.place, "PUT", change.named, change.tag)
    if not way.deletes:
        return None
    if change.kind == "tag.deleted":
        return Order(repository, way.place, "UNTAG", None, change.tag)
    return Order(repository, way.place, "DELETE", change.named)
