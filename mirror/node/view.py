"""What an operator sees of the node, put together."""

from collections.abc import Callable

from mirror.node.assembly import House
from mirror.registry.syncing import Syncs
from mirror.registry.view import Busiest, Offline, Provenance, Purge, Servable, Statuses, Usages
from mirror.web.administration import ViewDesk


def build_view(house: House, syncs: Syncs, fault: Callable[[], str], busiest: Busiest) -> ViewDesk:
    """Build it; `fault` says what keeps the node from being ready, `busiest` which clients have most connections."""
    store, repositories, routing = house.store, house.repositories, house.routing
    servable = Servable(store.index, house.kept)
    return ViewDesk(
        Statuses(house.measures, house.fills, syncs, repositories, fault, busiest),
        Provenance(
            store.index,
            store.catalog,
            store.images,
            store.lifecycles,
            house.pull_times,
            repositories,
            routing,
            servable,
        ),
        Offline(store.index, store.images, repositories, routing, servable),
        Usages(store.images, house.pull_times, repositories),
        Purge(store.index, store.purges, repositories),
    )
