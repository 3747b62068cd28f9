"""Routing: three addressings, one store; a stranger's `ns` opens nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registries import HOME

from mirror.oci.errors import NameUnknown
from mirror.oci.names import Registry, Repository
from mirror.rules.routing import IsOwned, Routing, UpstreamRule

HUB = UpstreamRule("docker.io", "https://registry-1.docker.io", root=True)
QUAY = UpstreamRule("quay.io", "https://quay.io")
LOCAL = UpstreamRule("localhost:5001", "http://localhost:5001", prefix="local")
NESTED = UpstreamRule("nested.io", "https://nested.io", prefix="local/nested")
ROUTING = Routing(HOME, (HUB, QUAY, LOCAL, NESTED), frozenset({"mirror.example:5000"}))
CLOSED = Routing(HOME, (QUAY,))


def nobody(_registry: Registry, _name: str) -> bool:
    return False


def owned(*names: str) -> IsOwned:
    return lambda _registry, name: name in names


@pytest.mark.parametrize(
    ("name", "ns", "upstream", "cached"),
    [
        # dockerd's registry-mirrors: un-prefixed names are the root upstream's.
        ("library/nginx", None, "docker.io", "library/nginx"),
        ("nginx", None, "docker.io", "library/nginx"),
        ("grafana/grafana", None, "docker.io", "grafana/grafana"),
        # containerd's ?ns=.
        ("library/nginx", "docker.io", "docker.io", "library/nginx"),
        ("library/nginx", "registry-1.docker.io", "docker.io", "library/nginx"),
        ("library/nginx", "index.docker.io", "docker.io", "library/nginx"),
        ("nginx", "docker.io", "docker.io", "library/nginx"),
        ("team/app", "quay.io", "quay.io", "team/app"),
        ("app", "quay.io", "quay.io", "app"),
        ("app", "localhost:5001", "localhost:5001", "app"),
        ("quay.io/team/app", "quay.io", "quay.io", "team/app"),
        # Path prefixes; the longest wins.
        ("docker.io/library/nginx", None, "docker.io", "library/nginx"),
        ("docker.io/nginx", None, "docker.io", "library/nginx"),
        ("quay.io/team/app", None, "quay.io", "team/app"),
        ("local/app", None, "localhost:5001", "app"),
        ("local/nested/app", None, "nested.io", "app"),
        ("local/nestedapp", None, "localhost:5001", "nestedapp"),
        # This node's own name in `ns` is no upstream.
        ("quay.io/team/app", "mirror.example:5000", "quay.io", "team/app"),
        ("team/app", "mirror.example:5000", "", "team/app"),
        # A word that only starts like a prefix.
        ("quay.iox/app", None, "docker.io", "quay.iox/app"),
        ("quay.io", None, "docker.io", "library/quay.io"),
    ],
)
def test_a_request_means_one_repository(name: str, ns: str | None, upstream: str, cached: str) -> None:
    """Issue, section 4, "Addressing"."""
    assert ROUTING.route(HOME, name, ns, nobody) == Repository(HOME, upstream, cached)


def test_what_was_pushed_here_is_not_shadowed_by_the_root() -> None:
    """A push must be answered by what was pushed, whatever a stranger calls the same."""
    assert ROUTING.route(HOME, "team/app", None, owned("team/app")) == Repository(HOME, "", "team/app")
    assert ROUTING.route(HOME, "team/other", None, owned("team/app")) == Repository(HOME, "docker.io", "team/other")


def test_a_prefix_is_an_upstreams_even_where_a_repository_has_the_name() -> None:
    assert ROUTING.route(HOME, "quay.io/app", None, owned("quay.io/app")) == Repository(HOME, "quay.io", "app")


def test_without_a_root_an_unknown_name_is_our_own() -> None:
    assert CLOSED.route(HOME, "nginx", None, nobody) == Repository(HOME, "", "nginx")


@pytest.mark.parametrize("ns", ["evil.example", "169.254.169.254", "localhost:22", "QUAY.IO", "quay.io.", "docker.io"])
def test_a_foreign_ns_is_unknown_and_never_dialled(ns: str) -> None:
    """Issue, section 4: `?ns=` is a closed-world key, never a dial target."""
    with pytest.raises(NameUnknown):
        CLOSED.route(HOME, "app", ns, nobody)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("team/app", Repository(HOME, "", "team/app")),
        ("app", Repository(HOME, "", "app")),
        ("quay.io/team/app", Repository(HOME, "quay.io", "team/app")),
    ],
)
def test_a_push_goes_to_a_repository_of_our_own_or_is_refused(name: str, target: Repository) -> None:
    assert ROUTING.push_target(HOME, name, None) == target


def test_a_repository_finds_its_rule_again() -> None:
    assert ROUTING.rule(Repository(HOME, "quay.io", "app")) is QUAY
    assert ROUTING.rule(Repository(HOME, "", "app")) is None
    assert ROUTING.rule(Repository(HOME, "gone.io", "app")) is None


names = st.from_regex(r"[a-z0-9]{1,4}(/[a-z0-9]{1,4}){0,2}", fullmatch=True)


@given(names, st.sampled_from([None, "docker.io", "quay.io", "localhost:5001", "nested.io", "mirror.example:5000"]))
def test_the_address_of_a_repository_leads_back_to_it(name: str, ns: str | None) -> None:
    """Links and Locations name a repository without `ns`: they must mean the same one."""
    repository = ROUTING.route(HOME, name, ns, nobody)
    assert ROUTING.route(HOME, ROUTING.address(repository), None, owned(repository.name)) == repository


@given(names)
def test_every_addressing_ends_at_the_same_repository(name: str) -> None:
    """Issue, section 4: the same digest is stored once, whatever the name."""
    assert ROUTING.route(HOME, name, None, nobody) == ROUTING.route(HOME, name, "docker.io", nobody)
    assert ROUTING.route(HOME, f"docker.io/{name}", None, nobody) == ROUTING.route(HOME, name, "docker.io", nobody)
    assert ROUTING.route(HOME, f"quay.io/{name}", None, nobody) == ROUTING.route(HOME, name, "quay.io", nobody)
