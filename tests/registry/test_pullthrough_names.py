"""Names of repositories that rules of the API cache: which rule is meant, and what the upstream calls them."""

import pytest
from registries import HOME

from mirror.registry.pullthrough import _upstream_rule
from mirror.rules.pullthrough import PullThroughRule
from mirror.rules.routing import Routing


def rule(prefix: str, upstream_prefix: str = "ROOT") -> PullThroughRule:
    return PullThroughRule(prefix, "quay.io", 1.0, upstream_prefix=upstream_prefix)


def meant(name: str, *rules: PullThroughRule) -> tuple[str, str]:
    """Return the rule that a name means and what its upstream calls it; nothing twice where none is meant."""
    routing = Routing(HOME, ())
    routing.replace({HOME: [_upstream_rule(one) for one in rules]})
    repository = routing.route(HOME, name, None, lambda _registry, _name: False)
    found = routing.rule(repository)
    return (found.name, found.upstream_name(repository.name)) if found is not None else ("", "")


MAPPINGS = [
    ("ecr-public", "ROOT", "ecr-public/my-app/image1", "my-app/image1"),
    ("ROOT", "ROOT", "my-app/image1", "my-app/image1"),
    ("team-a", "team-a", "team-a/myapp/image1", "team-a/myapp/image1"),
    ("my-app", "upstream-app", "my-app/image1", "upstream-app/image1"),
    ("my-app/", "upstream-app/", "my-app/image1", "upstream-app/image1"),
    ("docker-hub", "ROOT", "docker-hub/alpine", "alpine"),
    ("a/b", "c", "a/b/d/e", "c/d/e"),
]


@pytest.mark.parametrize(("prefix", "upstream_prefix", "ours", "theirs"), MAPPINGS)
def test_names_map_to_the_upstreams(prefix: str, upstream_prefix: str, ours: str, theirs: str) -> None:
    """ECR.md 2.5, "Name mapping"; no `library/` magic."""
    assert meant(ours, rule(prefix, upstream_prefix)) == (prefix.rstrip("/"), theirs)


@pytest.mark.parametrize("ours", ["quay", "quays/x", "x/quay/y"])
def test_a_prefix_ends_at_a_slash(ours: str) -> None:
    """ECR.md 2.5: "an implied `/` ends the prefix"."""
    assert meant(ours, rule("quay")) == ("", "")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("quay/x", "quay"), ("quay/team/x", "quay/team"), ("quay/teams/x", "quay"), ("x/y", "ROOT"), ("quay", "ROOT")],
)
def test_the_longest_prefix_wins_and_root_is_for_the_rest(name: str, wanted: str) -> None:
    """ECR.md 2.5: "ROOT applies to repositories without another rule"."""
    rules = [rule("ROOT"), rule("quay"), rule("quay/team")]
    assert meant(name, *rules)[0] == meant(name, *rules[::-1])[0] == wanted
