"""Which repositories of upstreams a rule means, by the names that clients of the node's own registry say.

Source: the shape of `[[sync]]`. A pattern is looked for in what its upstream lists; any other name needs no list.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from mirror.oci.errors import NameUnknown, RegistryError, UpstreamError, UpstreamTimeout, UpstreamUnavailable
from mirror.oci.names import Reference, Registry, Repository, parse_name
from mirror.registry.repositories import Repositories
from mirror.registry.syncing.tally import Tally
from mirror.registry.upstreams import Source, Upstreams
from mirror.rules.freshness import Need
from mirror.rules.globs import matches
from mirror.rules.patterns import Patterns, is_literal
from mirror.rules.routing import Routing, UpstreamRule
from mirror.rules.syncing import SyncRule, read_image

REPOSITORIES_MAX: Final = 10_000  # of one pattern


@dataclass(frozen=True, slots=True)
class Target:
    """A repository of an upstream, called `name` by clients: one image of it, or all that the rule's tags choose."""

    source: Source
    name: str
    reference: Reference | None = None


class Targets:
    """Finds what rules mean in `home`, the node's own registry."""

    def __init__(self, home: Registry, routing: Routing, repositories: Repositories, upstreams: Upstreams) -> None:
        self._home = home
        self._routing = routing
        self._repositories = repositories
        self._upstreams = upstreams

    async def find(self, rule: SyncRule, tally: Tally) -> AsyncIterator[Target]:
        """Find what a rule means; what cannot be found is told to the tally."""
        for image in rule.images:
            try:
                name, reference = read_image(image)
                found = Target(self._source(name), name, reference)
            except RegistryError as error:
                tally.failed(image, error.message)
            else:
                yield found
        unwanted = [one for one in rule.repositories if one.startswith("!")]
        wanted = Patterns(unwanted or ["*"])
        for pattern in rule.repositories:
            if pattern in unwanted:
                continue
            try:
                names = [pattern] if is_literal(pattern) else await self._listed(pattern)
                targets = [Target(self._source(name), name) for name in names if wanted.match(name)]
            except RegistryError as error:
                tally.failed(pattern, error.message)
                continue
            for target in targets:
                yield target

    def _source(self, name: str) -> Source:
        repository = self._repositories.pulled(self._home, parse_name(name))
        if repository.owned:
            raise NameUnknown(f"{name} is of no upstream: it is this node's own, or begins with none that it has")
        return self._upstreams.source(repository)

    async def _listed(self, pattern: str) -> list[str]:
        """Return the names that a pattern means. Raises NameUnknown and UpstreamError."""
        rule = self._routing.named_by(self._home, pattern)
        if rule is None:
            raise NameUnknown(f"{pattern} begins with no upstream of this node")
        source = self._upstreams.source(Repository(self._home, rule.name, ""))
        try:
            listed = await source.upstream.catalog(Need.REVALIDATION)
        except (UpstreamTimeout, UpstreamUnavailable):
            raise
        except UpstreamError as error:
            raise UpstreamError(
                f"{rule.name} does not list its repositories, so name them one by one ({error.message})"
            ) from None
        found = [name for one in listed if matches((pattern,), name := _name(rule, one, pattern))]
        if not found or len(found) > REPOSITORIES_MAX:
            said = f"{len(found)} repositories for {pattern}: 1 to {REPOSITORIES_MAX} are taken"
            raise NameUnknown(f"{rule.name} lists {said}")
        return found


def _name(rule: UpstreamRule, listed: str, pattern: str) -> str:
    """Say by which name clients pull what the upstream lists, "" for what they cannot; a root's has no prefix."""
    if rule.upstream_prefix:
        if not listed.startswith(f"{rule.upstream_prefix}/"):
            return ""
        listed = listed.removeprefix(f"{rule.upstream_prefix}/")
    return f"{rule.path_prefix}/{listed}" if rule.path_prefix and pattern.startswith(f"{rule.path_prefix}/") else listed
