"""Orders: what a change of a registry asks of the places that it replicates to.

Source: ECR guide, "Private image replication"; ECR.md 2.4. Only what is pushed or restored here goes, one hop: what was
replicated to us goes no further, nor does what an upstream gave us. Deletions go where a rule says so. Pure.
"""

from collections.abc import Callable, Iterable, Iterator

from mirror.oci.digest import Digest
from mirror.oci.names import Registry, Repository
from mirror.rules.replication import ReplicationConfiguration, destinations
from mirror.store.changes import Change
from mirror.store.replications import Order, Place

ConfigurationOf = Callable[[Registry], ReplicationConfiguration]
_DELETIONS = frozenset({"tag.deleted", "manifest.deleted"})


def orders_of(changes: Iterable[Change], configuration_of: ConfigurationOf) -> list[Order]:
    """List the orders that changes ask for, in their order. `changes` should not end within a transaction.

    An image that was pushed with a tag is asked for by its tag alone.
    """
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
        for order in _orders(change, configuration_of(change.repository.registry)):
            found.pop(order, None)
            found[order] = None
    return list(found)


def _is_told(change: Change) -> bool:
    return change.repository.owned and not change.repository.registry.public and not change.detail.get("origin")


def _image(change: Change) -> tuple[Repository, Digest | None, float]:
    return change.repository, change.digest, change.at


def _orders(change: Change, configuration: ReplicationConfiguration) -> Iterator[Order]:
    repository = change.repository
    for one in destinations(configuration, repository.name):
        place = Place(one.region, one.account)
        if change.kind in ("tag.set", "manifest.put") or (
            change.kind == "manifest.status" and change.detail["status"] == "ACTIVE"
        ):
            yield Order(repository, place, "PUT", change.named, change.tag)
        elif change.kind in _DELETIONS and one.deletes:
            if change.kind == "tag.deleted":
                yield Order(repository, place, "UNTAG", None, change.tag)
            else:
                yield Order(repository, place, "DELETE", change.named)


def places_of(configuration: ReplicationConfiguration) -> set[Place]:
    """Return every place that a configuration speaks of."""
    return {Place(one.region, one.registry_id) for rule in configuration.rules for one in rule.destinations}
