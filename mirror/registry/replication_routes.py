"""Routes: where the images of a registry go: where its own configuration says, and to the destinations of the node.

Source: ECR.md 2.4; issue section "Any registry".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from mirror.oci.names import Registry
from mirror.registry.configurations import REPLICATION, Configurations
from mirror.registry.couriers import subject_of
from mirror.registry.node_ids import NODE
from mirror.rules.destinations import DestinationRule
from mirror.rules.replication import ReplicationConfiguration, destinations
from mirror.store.documents import Documents, Edit
from mirror.store.replications import Place

DESTINATION: Final = "destination"  # the kind of document, whose name is the destination's: since which change it is


@dataclass(frozen=True, slots=True)
class Way:
    """One place that images of a repository go to. `rule`: the destination's, None of a region's registry."""

    place: Place
    deletes: bool
    rule: DestinationRule | None = None
    since: int = 0  # the first change that the destination is told of

    def takes(self, tag: str) -> bool:
        """Tell whether what has the tag, or with "" none, may be wanted there: of a referrer that is seen later."""
        return self.rule is None or not tag or self.rule.wants(tag) or subject_of(tag) is not None


@dataclass(frozen=True, slots=True)
class Route:
    """The ways of one registry's images."""

    configuration: ReplicationConfiguration
    rules: Sequence[DestinationRule]
    since: Mapping[str, int]

    def ways(self, name: str) -> Iterator[Way]:
        """Yield where images of the repository `name` go."""
        for one in destinations(self.configuration, name):
            yield Way(Place(one.region, one.account), one.deletes)
        for rule in self.rules:
            if rule.covers(name):
                yield Way(place_of(rule), rule.delete, rule, self.since.get(rule.name, 0))

    def places(self) -> set[Place]:
        """Return every place that is spoken of."""
        regions = {Place(one.region, one.registry_id) for rule in self.configuration.rules for one in rule.destinations}
        return regions | {place_of(rule) for rule in self.rules}


class Routes:
    """The routes of all private registries of the node."""

    def __init__(
        self, documents: Documents, configurations: Configurations, rules: Sequence[DestinationRule], home: Registry
    ) -> None:
        self._documents = documents
        self._configurations = configurations
        self._since: dict[str, int] = {}
        self._rules: dict[Registry, list[DestinationRule]] = {}
        for rule in rules:
            self._rules.setdefault(Registry(rule.account or home.account), []).append(rule)

    def sources(self) -> set[Registry]:
        """Return the registries whose images go anywhere."""
        return {owner for owner, _, _ in self._documents.all(REPLICATION)} | self._rules.keys()

    def of(self, registry: Registry) -> Route:
        """Return where the images of a registry go."""
        return Route(self._configurations.replication(registry), self._rules.get(registry, ()), self._since)

    async def open(self, last_seq: int) -> None:
        """Note of each destination that is new where the log ends now: it is sent what comes from then on."""
        known = {name: msgspec.json.decode(body, type=int) for name, body in self._documents.list(NODE, DESTINATION)}
        names = {rule.name for rules in self._rules.values() for rule in rules}
        self._since = {name: known.get(name, last_seq + 1) for name in names}
        made = [Edit(NODE, DESTINATION, name, msgspec.json.encode(last_seq + 1)) for name in names - known.keys()]
        gone = [Edit(NODE, DESTINATION, name, None) for name in known.keys() - names]
        if made or gone:
            await self._documents.write([*made, *gone])

    def since(self) -> int:
        """Return behind which change the log matters: its beginning, for what registries say themselves."""
        if self._documents.all(REPLICATION):
            return 0
        return min(self._since.values(), default=1) - 1


def place_of(rule: DestinationRule) -> Place:
    """Return how the queue calls a destination: a place that is no account's."""
    return Place(rule.name, "")
