"""The replication of the node's registries: a task that follows the log, and the ways to each place."""

from mirror import __version__
from mirror.jobs.replication import Replicator
from mirror.node.assembly import House
from mirror.registry.carriers import Carrier, HomeCarrier, Nowhere, PeerCarrier
from mirror.registry.configurations import Configurations
from mirror.store.replications import Place
from mirror.upstream.peer import Peer, PeerRule


def spawn_replication(house: House) -> None:
    """Start replicating what registries say."""
    settings = house.settings
    own, files, index = settings.registry.region, house.store.files, house.store.index
    ways = {(one.name, one.account or settings.registry.account): one for one in settings.regions}
    peers: dict[tuple[str, str, str], Peer] = {}

    def carrier_of(place: Place, account: str) -> Carrier:
        if place.region == own:
            return HomeCarrier(place, house.kept, house.replicas, house.known.identities.accounts.exists)
        way = ways.get((place.region, account))
        if way is None:
            return Nowhere("RegionUnknown", f"no [[region]] is the way of account {account} to {place.region}")
        rule = PeerRule(way.name, way.url, way.access_key, way.secret_file, way.ca_file)
        key = place.region, place.account, account
        peer = peers[key] = Peer(rule, place.account, own, user_agent=f"mirror/{__version__}")
        return PeerCarrier(peer, files, index, house.kept)

    configurations = Configurations(house.store.documents, own)
    replicator = Replicator(house.store, configurations, carrier_of, house.tasks.spawn)

    async def run() -> None:
        try:
            await replicator.run()
        finally:
            for peer in peers.values():
                await peer.close()

    house.backfills.resume()
    house.tasks.spawn(run(), "replication")
    house.tasks.spawn(replicator.watch(), "replication lag")
