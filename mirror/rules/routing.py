"""Which repository a request means: three addressings, one store.

Root names (dockerd's registry-mirrors), `?ns=<registry>` (containerd; a closed-world key, never a dial target) and path
prefixes all end at the same `Repository`. Pure.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mirror.oci.errors import NameUnknown
from mirror.oci.names import Repository

DOCKER_HUB = "docker.io"
_HUB_ALIASES = frozenset({"docker.io", "registry-1.docker.io", "index.docker.io"})


@dataclass(frozen=True, slots=True)
class UpstreamRule:
    """One `[[upstream]]` of the configuration: a registry that this node caches. Times in seconds."""

    name: str
    url: str
    root: bool = False
    prefix: str = ""
    username: str = ""
    password_file: str = ""
    tag_fresh_s: float = 3_600.0
    immutable_tags: tuple[str, ...] = ()
    stale_max_s: float = 2_592_000.0
    ca_file: str = ""
    platforms: tuple[str, ...] = ()

    @property
    def path_prefix(self) -> str:
        return self.prefix or self.name


class Routing:
    """The node's map from what clients say to repositories. `hosts` are the names by which clients call this node."""

    def __init__(self, upstreams: Sequence[UpstreamRule], hosts: frozenset[str] = frozenset()) -> None:
        self.upstreams = upstreams
        self.hosts = hosts
        self._root = next((rule for rule in upstreams if rule.root), None)
        # Longest first, so that the first match is the one that says most.
        by_length = sorted(upstreams, key=lambda rule: len(rule.path_prefix), reverse=True)
        self._by_prefixes = {rule.path_prefix + "/": rule for rule in by_length}
        self._prefixes = tuple(self._by_prefixes)

    def route(self, name: str, ns: str | None, is_owned: Callable[[str], bool]) -> Repository:
        """Name the repository that `name` (already parsed) and `?ns=` mean. Raises NameUnknown for a foreign `ns`.

        Without `ns`: the longest matching prefix, then a repository of our own by that name, then the root upstream:
        what was pushed here is never shadowed by somebody else's registry.
        """
        if ns and ns not in self.hosts:
            return self._by_ns(name, ns)
        rule = self._by_prefix(name)
        if rule is not None:
            return _cached(rule, name[len(rule.path_prefix) + 1 :])
        if not ns and self._root is not None and not is_owned(name):
            return _cached(self._root, name)
        return Repository("", name)

    def claimable(self, name: str, ns: str | None) -> bool:
        """Tell whether a first push would make `name` our own: it has nobody's prefix and no `ns`."""
        return (not ns or ns in self.hosts) and self._by_prefix(name) is None

    def push_target(self, name: str, ns: str | None) -> Repository:
        """Name the repository a push to `name` writes: our own, or the cached one that will refuse it."""
        return self.route(name, ns, lambda _: True)

    def rule(self, repository: Repository) -> UpstreamRule | None:
        """Return the upstream rule that a cached repository belongs to; None for our own."""
        return next((rule for rule in self.upstreams if rule.name == repository.upstream), None)

    def address(self, repository: Repository) -> str:
        """Return the name under which clients of this node can ask for `repository` without `ns`."""
        rule = self.rule(repository)
        return f"{rule.path_prefix}/{repository.name}" if rule else repository.name

    def _by_ns(self, name: str, ns: str) -> Repository:
        wanted = DOCKER_HUB if ns in _HUB_ALIASES else ns
        for rule in self.upstreams:
            if rule.name == wanted:
                return _cached(rule, _without_prefix(rule, name))
        raise NameUnknown(f"no upstream is configured for ns={ns!r}")

    def _by_prefix(self, name: str) -> UpstreamRule | None:
        if not name.startswith(self._prefixes):
            return None
        return next(rule for prefix, rule in self._by_prefixes.items() if name.startswith(prefix))


def _without_prefix(rule: UpstreamRule, name: str) -> str:
    """Take the prefix off a name that came with `ns`: containerd's `override_path` sends both (CLIENTS 1.6).

    A prefix that is a plain word stays: it could be a namespace at the upstream, `docker.io/hub/tool`.
    """
    return name if rule.path_prefix.isalnum() else name.removeprefix(rule.path_prefix + "/")


def _cached(rule: UpstreamRule, name: str) -> Repository:
    """Docker Hub's official images have one short name and one true one: `nginx` is `library/nginx`."""
    if rule.name == DOCKER_HUB and "/" not in name:
        name = f"library/{name}"
    return Repository(rule.name, name)
