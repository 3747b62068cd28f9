"""Which repository a request means: three addressings, one store.

Root names (dockerd's registry-mirrors), `?ns=<registry>` (containerd; a closed-world key, never a dial target) and path
prefixes all end at the same `Repository`. Pure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mirror.oci.errors import NameUnknown
from mirror.oci.names import Registry, Repository

DOCKER_HUB = "docker.io"
ROOT: Final = "ROOT"  # ECR's word for "no prefix"
_HUB_ALIASES = frozenset({"docker.io", "registry-1.docker.io", "index.docker.io"})

Authorize = Literal["policy", "upstream", "anonymous"]
IsOwned = Callable[[Registry, str], bool]


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
    upstream_prefix: str = ""
    secret: str = ""
    authorize: Authorize = "policy"

    @property
    def path_prefix(self) -> str:
        """What stands before the names of its repositories; "" of a rule that is for all other names, only."""
        return self.prefix or ("" if self.name == ROOT else self.name)

    @property
    def host(self) -> str:
        """The upstream's own name, as `?ns=` gives it."""
        return self.url.partition("://")[2].partition("/")[0]

    @property
    def is_public(self) -> bool:
        """Tell whether what it gives is for everybody whom the node lets in: asked for without a name, or said so."""
        return self.authorize == "anonymous" or (self.authorize == "policy" and not self.has_credential)

    @property
    def has_credential(self) -> bool:
        """Tell whether the node asks this upstream under a name of its own."""
        return bool(self.username or self.secret)

    def upstream_name(self, name: str) -> str:
        """Say how the upstream calls the repository that is `name` behind our prefix (ECR.md 2.5, "Name mapping")."""
        return f"{self.upstream_prefix}/{name}" if self.upstream_prefix else name


class Routing:
    """The node's map from what clients say to repositories. `hosts` are the names by which clients call this node."""

    def __init__(self, home: Registry, upstreams: Sequence[UpstreamRule], hosts: frozenset[str] = frozenset()) -> None:
        self.home = home
        self.hosts = hosts
        self._configured = tuple(upstreams)
        self._maps = {home: _Map(self._configured)}
        self.generation = 0  # grows with each change of the rules

    def replace(self, made: Mapping[Registry, Sequence[UpstreamRule]]) -> None:
        """Take the rules that were made while the node runs, of all registries, in place of those made before.

        The configuration's rules are the home registry's, and come first.
        """
        maps = {registry: _Map(rules) for registry, rules in made.items() if registry != self.home}
        maps[self.home] = _Map((*self._configured, *made.get(self.home, ())))
        self._maps = maps
        self.generation += 1

    def route(self, registry: Registry, name: str, ns: str | None, is_owned: IsOwned) -> Repository:
        """Name the repository that `name` (already parsed) and `?ns=` mean. Raises NameUnknown for a foreign `ns`.

        Without `ns`: the longest matching prefix, then a repository of our own by that name, then the root upstream:
        what was pushed here is never shadowed by somebody else's registry.
        """
        rules = self._of(registry)
        if ns and ns not in self.hosts:
            return _cached(registry, *rules.by_ns(name, ns))
        rule = rules.by_prefix(name)
        if rule is not None:
            return _cached(registry, rule, name[len(rule.path_prefix) + 1 :])
        if not ns and rules.root is not None and not is_owned(registry, name):
            return _cached(registry, rules.root, name)
        return Repository(registry, "", name)

    def claimable(self, registry: Registry, name: str, ns: str | None) -> bool:
        """Tell whether a first push would make `name` our own: it has nobody's prefix and no `ns`."""
        return (not ns or ns in self.hosts) and self._of(registry).by_prefix(name) is None

    def push_target(self, registry: Registry, name: str, ns: str | None) -> Repository:
        """Name the repository a push to `name` writes: our own, or the cached one that will refuse it."""
        return self.route(registry, name, ns, lambda _registry, _name: True)

    def named_by(self, registry: Registry, pattern: str) -> UpstreamRule | None:
        """Return the upstream whose repositories a pattern of names means: by its beginning, else the root."""
        rules = self._of(registry)
        return rules.by_prefix(pattern) or rules.root

    def rules(self, registry: Registry) -> Sequence[UpstreamRule]:
        """Return the upstream rules of a registry."""
        return self._of(registry).rules

    def rule(self, repository: Repository) -> UpstreamRule | None:
        """Return the upstream rule that a cached repository belongs to; None for our own."""
        return self._of(repository.registry).by_name.get(repository.upstream)

    def address(self, repository: Repository) -> str:
        """Return the name under which clients of its registry can ask for `repository` without `ns`."""
        rule = self.rule(repository)
        if rule is None:
            return repository.name if repository.owned else f"{repository.upstream}/{repository.name}"
        return f"{rule.path_prefix}/{repository.name}" if rule.path_prefix else repository.name

    def _of(self, registry: Registry) -> "_Map":
        return self._maps.get(registry, _NO_RULES)


class _Map:
    """The upstream rules of one registry."""

    def __init__(self, rules: Sequence[UpstreamRule]) -> None:
        self.rules = tuple(rules)
        self.by_name = {rule.name: rule for rule in rules}
        self.root = next((rule for rule in rules if rule.root), None)
        # Longest first, so that the first match is the one that says most.
        by_length = sorted(rules, key=lambda rule: len(rule.path_prefix), reverse=True)
        self._by_prefixes = {rule.path_prefix + "/": rule for rule in by_length if rule.path_prefix}
        self._prefixes = tuple(self._by_prefixes)

    def by_ns(self, name: str, ns: str) -> tuple[UpstreamRule, str]:
        """Return the rule that `?ns=` means and the name that is left. Raises NameUnknown."""
        wanted = DOCKER_HUB if ns in _HUB_ALIASES else ns
        for rule in self.rules:
            if rule.name == wanted or rule.host == ns:
                return rule, _without_prefix(rule, name)
        raise NameUnknown(f"no upstream is configured for ns={ns!r}")

    def by_prefix(self, name: str) -> UpstreamRule | None:
        if not name.startswith(self._prefixes):
            return None
        return next(rule for prefix, rule in self._by_prefixes.items() if name.startswith(prefix))


_NO_RULES: Final = _Map(())


def _without_prefix(rule: UpstreamRule, name: str) -> str:
    """Take the prefix off a name that came with `ns`: containerd's `override_path` sends both (CLIENTS 1.6).

    A prefix that is a plain word stays: it could be a namespace at the upstream, `docker.io/hub/tool`.
    """
    return name if rule.path_prefix.isalnum() else name.removeprefix(rule.path_prefix + "/")


def _cached(registry: Registry, rule: UpstreamRule, name: str) -> Repository:
    """Docker Hub's official images have one short name and one true one: `nginx` is `library/nginx`."""
    if rule.name == DOCKER_HUB and "/" not in name:
        name = f"library/{name}"
    return Repository(registry, rule.name, name)
