"""The replication of the node's registries: a task that follows the log, and the ways to each place."""

from mirror.jobs.replication import Replicator
from mirror.node.assembly import House
from mirror.registry.carriers import Carrier, HomeCarrier, Nowhere
from mirror.registry.configurations import Configurations
from mirror.store.replications import Place


def spawn_replication(house: House) -> None:
    """Start replicating what registries say."""
    region = house.settings.registry.region

    def carrier_of(place: Place) -> Carrier:
        if place.region == region:
            return HomeCarrier(place, house.kept, house.replicas, house.known.identities.accounts.exists)
        return Nowhere("RegionUnknown", f"this node knows no way to the region {place.region}")

    configurations = Configurations(house.store.documents, region)
    replicator = Replicator(house.store, configurations, carrier_of, house.tasks.spawn)
    house.tasks.spawn(replicator.run(), "replication")
