"""What the handlers share: names to repositories, our own addresses, the clock on slow clients."""

from dataclasses import dataclass

from mirror.oci.names import Repository
from mirror.oci.paths import Route
from mirror.registry.push import Push
from mirror.rules.access import Action, check_anonymous
from mirror.rules.routing import Routing
from mirror.store.index import Index
from mirror.web.gate import read_query
from mirror.web.slow import SlowClock


@dataclass(frozen=True, slots=True)
class Door:
    """The node as the handlers see it. `public_url` has no slash at its end; `anonymous`: what anybody may do."""

    routing: Routing
    index: Index
    push: Push
    slow: SlowClock
    public_url: str
    anonymous: frozenset[Action]

    def check(self, action: Action) -> None:
        """Raise Denied unless the caller may do `action`."""
        check_anonymous(self.anonymous, action)

    def repository(self, name: str, query: str) -> Repository:
        """Name the repository that a read means. Raises NameUnknown."""
        return self.routing.route(name, _ns(query), self.index.owned)

    def target(self, name: str, query: str) -> Repository:
        """Name the repository that a write means. Raises NameUnknown."""
        return self.routing.push_target(name, _ns(query))

    def claimable(self, route: Route, query: str) -> bool:
        """Tell whether a caller who looks may be about to make this name its own by a first push.

        A push begins by HEADs: they must not fail because the root upstream does, nor tell it our blobs' digests.
        """
        return (
            "push" in self.anonymous
            and self.routing.claimable(route.name, _ns(query))
            and not self.index.owned(route.name)
        )

    def address(self, path: str) -> str:
        """Return the address of a path of ours: relative, or absolute where a public URL is configured."""
        return self.public_url + path


def _ns(query: str) -> str | None:
    return read_query(query).get("ns") if query else None
