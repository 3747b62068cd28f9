"""Orders of a page of changes: which changes ask for something, and what they ask of each place."""

from collections import Counter

import pytest
from registries import HOME

from mirror.oci.digest import digest_of
from mirror.oci.names import Registry, Repository
from mirror.registry.replication_orders import orders_of
from mirror.registry.replication_routes import Route
from mirror.rules.destinations import DestinationRule
from mirror.rules.replication import DeleteReplication, Destination, ReplicationConfiguration, ReplicationRule
from mirror.store.changes import KINDS, Change, Kind
from mirror.store.replications import Order, Place

OTHER = Registry("222222222222")
APP, WEB = Repository(HOME, "", "team/app"), Repository(HOME, "", "team/web")
THEIRS = Repository(OTHER, "", "team/app")
KEEPS, REPEATS = Destination("us-east-1", HOME.account), Destination("us-west-1", HOME.account)
EAST, WEST = (Place(one.region, one.registry_id) for one in (KEEPS, REPEATS))
CONFIGURATION = ReplicationConfiguration(
    (ReplicationRule((KEEPS,)), ReplicationRule((REPEATS,), delete_replication=DeleteReplication(enabled=True)))
)
DIGEST = digest_of(b"an image")
AT = 1_700_000_000.0


def configured(_: Registry) -> Route:
    return Route(CONFIGURATION, (), {})


def unread(registry: Registry) -> Route:
    raise AssertionError(registry)


@pytest.mark.parametrize(
    ("change", "orders"),
    [
        (Change("manifest.put", APP, AT, DIGEST), [Order(APP, to, "PUT", DIGEST) for to in (EAST, WEST)]),
        (Change("tag.set", APP, AT, DIGEST, "v1"), [Order(APP, to, "PUT", DIGEST, "v1") for to in (EAST, WEST)]),
        (
            Change("manifest.status", APP, AT, DIGEST, detail={"status": "ACTIVE"}),
            [Order(APP, to, "PUT", DIGEST) for to in (EAST, WEST)],
        ),
        (Change("tag.deleted", APP, AT, DIGEST, "v1"), [Order(APP, WEST, "UNTAG", None, "v1")]),
        (Change("manifest.status", APP, AT, DIGEST, detail={"status": "ARCHIVED"}), []),
        (Change("manifest.deleted", APP, AT, DIGEST), [Order(APP, WEST, "DELETE", DIGEST)]),
    ],
    ids=lambda value: value.kind if isinstance(value, Change) else "",
)
def test_what_is_pushed_or_restored_goes_and_deletions_where_a_rule_says_so(
    change: Change, orders: list[Order]
) -> None:
    """ECR guide, "Private image replication"; ECR.md 2.4."""
    assert orders_of([change], configured) == orders


@pytest.mark.parametrize(
    "kind", sorted({*KINDS} - {"manifest.put", "tag.set", "manifest.status", "tag.deleted", "manifest.deleted"})
)
def test_a_change_of_another_kind_reads_no_configuration(kind: Kind) -> None:
    """replication_orders.py: a blob that is linked, a setting: nothing is looked up for them."""
    assert orders_of([Change(kind, APP, AT, DIGEST)], unread) == []


@pytest.mark.parametrize(
    "change",
    [
        Change("tag.set", APP, AT, DIGEST, "v1", detail={"origin": f"{OTHER.account}/us-east-1"}),
        Change("tag.set", Repository(HOME, "docker.io", "library/alpine"), AT, DIGEST, "v1"),
        Change("tag.set", Repository(Registry(HOME.account, public=True), "", "app"), AT, DIGEST, "v1"),
    ],
    ids=["replicated to us", "of an upstream", "public"],
)
def test_what_is_not_ours_to_tell_asks_for_nothing(change: Change) -> None:
    """ECR.md 2.4: one hop, and only what is pushed or restored here."""
    assert orders_of([change], unread) == []


def test_each_registry_is_asked_for_its_configuration_once_in_a_page() -> None:
    """replication_orders.py: it is decoded each time; the next page sees what was configured in between."""
    asked: Counter[Registry] = Counter()

    def route_of(registry: Registry) -> Route:
        asked[registry] += 1
        return configured(registry)

    page = [Change("tag.set", one, AT, DIGEST, f"v{n}") for n in range(5) for one in (APP, WEB, THEIRS)]
    assert len(orders_of(page, route_of)) == 5 * 3 * 2
    assert asked == {HOME: 1, OTHER: 1}
    orders_of(page, route_of)
    assert asked == {HOME: 2, OTHER: 2}


def test_a_destination_is_told_of_what_came_after_it() -> None:
    """Issue 4, section 1: a new rule starts from now; and what cannot be wanted by its tag is not asked for."""
    rule = DestinationRule("backup", "https://r.example", repositories=("team/app",), tags=("v*",))
    route = Route(ReplicationConfiguration(()), (rule,), {"backup": 7})
    about = f"{DIGEST.algorithm}-{DIGEST.hex}.sig"
    page = [
        Change("tag.set", name, AT + seq, DIGEST, tag, seq=seq)
        for seq, (name, tag) in enumerate([(APP, "v1"), (APP, "v2"), (APP, "latest"), (WEB, "v3"), (APP, about)], 6)
    ]
    there = Place("backup", "")
    assert orders_of(page, lambda _: route) == [Order(APP, there, "PUT", DIGEST, tag) for tag in ("v2", about)]
