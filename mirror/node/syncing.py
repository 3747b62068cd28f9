"""What the node fetches before anybody asks: the rules of the configuration, and their schedule."""

from mirror import telemetry
from mirror.jobs.syncing import Schedule
from mirror.node.assembly import House
from mirror.registry.syncing import Shelf, Syncs, Targets


def build_syncs(house: House) -> Syncs:
    """Build what runs the rules of `[[sync]]`, and single images on demand."""
    home = house.settings.home
    shelf = Shelf(house.store.index, house.store.catalog, house.kept, house.manifests, house.blobs, house.discovery)
    return Syncs(
        home,
        house.settings.syncs,
        Targets(home, house.routing, house.repositories, house.upstreams),
        shelf,
        house.store.documents,
        house.throttle,
        house.tasks.spawn,
    )


def spawn_syncs(house: House, syncs: Syncs) -> None:
    """Start running the rules when their turn comes."""
    for rule in house.settings.syncs:
        telemetry.SYNC_SUCCESS.labels(rule.name).set(syncs.last(rule.name).succeeded_at)
    Schedule(syncs, house.tasks.spawn).begin(house.settings.syncs)
