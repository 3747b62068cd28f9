"""What an operator sees of the node, put together."""

from collections.abc import Awaitable, Callable

from mirror.node.assembly import House
from mirror.registry.syncing import Syncs
from mirror.registry.view import Busiest, Offline, Provenance, Purge, Servable, Statuses, Usages
from mirror.rules.eviction import pins
from mirror.web.administration import ViewDesk


def build_view(house: House, syncs: Syncs, fault: Callable[[], Awaitable[str]], busiest: Busiest) -> ViewDesk:
    """Build it; `fault` says what keeps the node from being ready, `busiest` which clients have most connections."""
    store, repositories, routing = house.store, house.repositories, house.routing
    servable, storage = Servable(store.index, house.kept), house.settings.storage
    return ViewDesk(
        Statuses(
            house.measures, house.fills, syncs, repositories, fault, busiest, cache_bytes_max=storage.cache_bytes_max
        ),
        Provenance(
            store,
            house.pull_times,
            repositories,
            routing,
            servable,
            pins(storage.keep),
        ),
        Offline(store.index, store.images, repositories, routing, servable),
        Usages(store.images, house.pull_times, repositories),
        Purge(store.index, store.purges, repositories),
    )
