"""The replication of the node's registries: a task that follows the log, and the ways to each place."""

from mirror import telemetry
from mirror.config.settings import Region
from mirror.jobs.replication import Lane, Replicator
from mirror.node.assembly import House
from mirror.node.peers import AGENT
from mirror.registry.carriers import Carrier, HomeCarrier, Nowhere
from mirror.registry.couriers import Courier, DestinationCarrier, PeerCarrier
from mirror.rules.destinations import DestinationRule
from mirror.rules.windows import Windows
from mirror.store.replications import Place
from mirror.upstream.destination import open_destination
from mirror.upstream.peer import PeerRule, open_peer
from mirror.upstream.push import PushClient
from mirror.upstream.throttle import Throttle


def spawn_replication(house: House) -> None:
    """Start replicating what registries and the configuration say."""
    ways = _Ways(house)
    replicator = Replicator(house.store, house.routes, ways.carrier, ways.lane, house.tasks.spawn)

    async def run() -> None:
        try:
            await replicator.run()
        finally:
            await ways.close()

    house.backfills.resume()
    house.tasks.spawn(run(), "replication")
    house.tasks.spawn(replicator.watch(), "replication lag")


class _Ways:
    """The ways to all places that this node knows."""

    def __init__(self, house: House) -> None:
        settings = house.settings
        self._house = house
        self._region = settings.registry.region
        self._regions = {(one.name, one.account or settings.registry.account): one for one in settings.regions}
        self._destinations = {one.name: one for one in settings.destinations}
        self._clients: list[PushClient] = []

    async def close(self) -> None:
        for client in self._clients:
            await client.close()

    def lane(self, place: Place) -> Lane:
        """Return how much goes to a place at once, and when. Of several tables of a region the first one says it."""
        regions = (one for one in self._regions.values() if place.account and one.name == place.region)
        way = next(regions, None) if place.account else self._destinations.get(place.region)
        return Lane(way.workers, Windows(way.windows)) if way is not None else Lane()

    def carrier(self, place: Place, account: str) -> Carrier:
        """Make what carries the images of an account to a place."""
        house = self._house
        if not place.account:
            return self._to_destination(place)
        if place.region == self._region:
            return HomeCarrier(place, house.kept, house.replicas, house.known.identities.accounts.exists)
        way = self._regions.get((place.region, account))
        if way is None:
            return Nowhere("RegionUnknown", f"no [[region]] is the way of account {account} to {place.region}")
        rule = PeerRule(way.name, way.url, way.access_key, way.secret_file, way.ca_file)
        client = open_peer(
            rule,
            place.account,
            self._region,
            user_agent=AGENT,
            throttle=self._throttle(way),
            sent=telemetry.REPLICATION_BYTES.labels(place.region, place.account).inc,
        )
        return PeerCarrier(self._courier(client))

    def _to_destination(self, place: Place) -> Carrier:
        rule = self._destinations.get(place.region)
        if rule is None:
            return Nowhere("DestinationUnknown", f"no [[destination]] is called {place.region}")
        client = open_destination(
            rule,
            user_agent=AGENT,
            throttle=self._throttle(rule),
            sent=telemetry.REPLICATION_BYTES.labels(place.region, place.account).inc,
        )
        return DestinationCarrier(self._courier(client), rule, self._house.store.index, self._house.store.catalog)

    def _courier(self, client: PushClient) -> Courier:
        self._clients.append(client)
        return Courier(client, self._house.store.files, self._house.store.index, self._house.kept)

    def _throttle(self, way: Region | DestinationRule) -> Throttle:
        return Throttle(way.bytes_s_max, self._house.throttle)
