"""Pull-through cache rules: upstreams, prefixes and how names map."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.aws.errors import InvalidParameter, SecretNotFound, UnableToAccessSecret, UnsupportedUpstreamRegistry
from mirror.oci.errors import RegistryError
from mirror.rules.pullthrough import (
    KINDS,
    PullThroughRule,
    cache_name,
    check_rule,
    choose,
    read_upstream,
    secret_name,
    upstream_name,
)

AWS_LIST = [
    ("ecr-public", "public.ecr.aws", False),
    ("k8s", "registry.k8s.io", False),
    ("quay", "quay.io", False),
    ("docker-hub", "registry-1.docker.io", True),
    ("github-container-registry", "ghcr.io", True),
    ("gitlab-container-registry", "registry.gitlab.com", True),
    ("azure-container-registry", "myname.azurecr.io", True),
    ("chainguard", "cgr.dev", True),
    ("ecr", "123456789012.dkr.ecr.eu-west-1.amazonaws.com", False),
]


@pytest.mark.parametrize(("registry", "url", "needs_credentials"), AWS_LIST)
def test_the_upstreams_of_aws_are_known_by_their_url(registry: str, url: str, needs_credentials: bool) -> None:
    """ECR.md 2.5, the table of upstreams: `upstreamRegistry` is optional and derived from the URL."""
    for given_url in (url, f"https://{url}", f"HTTPS://{url.upper()}/", f"{url}:443"):
        for given_registry in (None, "", registry):
            found = read_upstream(given_url, given_registry)
            assert (found.registry, found.url) == (registry, f"https://{url}")
            assert found.needs_credentials is needs_credentials


def test_the_table_above_is_the_whole_list() -> None:
    """ECR.md appendix A, UpstreamRegistry."""
    assert [kind.name for kind in KINDS] == [registry for registry, _, _ in AWS_LIST]


OTHERS = [
    ("registry.example.com", "https://registry.example.com"),
    ("https://registry.example.com:5000/", "https://registry.example.com:5000"),
    ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ("http://registry:80", "http://registry"),
    ("https://[::1]:5000", "https://[::1]:5000"),
    ("registry.example.com:0443", "https://registry.example.com"),
    # Not the service on AWS's list, whatever the name: another port, or in the clear.
    ("http://quay.io", "http://quay.io"),
    ("quay.io:8443", "https://quay.io:8443"),
    ("quay.io.example.com", "https://quay.io.example.com"),
    ("a.b.azurecr.io", "https://a.b.azurecr.io"),
    ("xquay.io", "https://xquay.io"),
]


@pytest.mark.parametrize(("url", "wanted"), OTHERS)
def test_any_other_registry_may_be_an_upstream(url: str, wanted: str) -> None:
    """ECR.md 2.5: "a self-hosted node should accept further URLs"; those have no `upstreamRegistry`."""
    found = read_upstream(url)
    assert (found.registry, found.url, found.needs_credentials) == ("", wanted, False)
    with pytest.raises(UnsupportedUpstreamRegistry):
        read_upstream(url, "quay")


@pytest.mark.parametrize("url", ["docker.io", "index.docker.io", "https://docker.io"])
def test_docker_hub_is_found_by_its_other_names(url: str) -> None:
    found = read_upstream(url)
    assert (found.registry, found.url) == ("docker-hub", "https://registry-1.docker.io")


BAD_URLS = [
    "",
    "https://",
    "ftp://registry.example.com",
    "file:///etc/passwd",
    "//registry.example.com",
    "https://user:pw@registry.example.com",
    "https://registry.example.com/v2",
    "registry.example.com/path",
    "registry.example.com?x=1",
    "registry.example.com#x",
    "registry.example.com:",
    "registry.example.com:0",
    "registry.example.com:65536",
    "registry.example.com:5000000",
    "registry..example.com",
    "-registry.example.com",
    "registry.example.com\n",
    "registry.example.com\r\nHost: x",
    "registry example.com",
    "réseau.example.com",
    "quay.\u212ao",
    "a" * 513,
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_what_is_no_registrys_url_is_refused(url: str) -> None:
    """RELIABILITY A18, A28: host and port only; no path, user-info, query or control character."""
    with pytest.raises(UnsupportedUpstreamRegistry):
        read_upstream(url)


@pytest.mark.parametrize(("url", "registry"), [("quay.io", "docker-hub"), ("quay.io", "x"), ("ghcr.io", "quay")])
def test_a_registry_that_is_not_the_urls_is_refused(url: str, registry: str) -> None:
    """ECR.md 2.5."""
    with pytest.raises(UnsupportedUpstreamRegistry):
        read_upstream(url, registry)


def rule(prefix: str, upstream_prefix: str = "ROOT", credential: str = "") -> PullThroughRule:
    return PullThroughRule(prefix, "quay.io", 1.0, upstream_prefix=upstream_prefix, credential_arn=credential)


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
def test_names_map_both_ways(prefix: str, upstream_prefix: str, ours: str, theirs: str) -> None:
    """ECR.md 2.5, "Name mapping"; no `library/` magic."""
    mapped = rule(prefix, upstream_prefix)
    assert upstream_name(mapped, ours) == theirs
    assert cache_name(mapped, theirs) == ours


@pytest.mark.parametrize(
    ("prefix", "ours"), [("quay", "quay"), ("quay", "quay/"), ("quay", "quays/x"), ("quay", "x/quay/y"), ("ROOT", "")]
)
def test_a_prefix_ends_at_a_slash(prefix: str, ours: str) -> None:
    """ECR.md 2.5: "an implied `/` ends the prefix"."""
    assert upstream_name(rule(prefix), ours) is None
    assert choose([rule(prefix)], ours) is None


def test_an_upstream_repository_outside_the_prefix_has_no_name_here() -> None:
    """ECR.md 2.5, "Name mapping"."""
    assert cache_name(rule("my-app", "upstream-app"), "other/image1") is None


words = st.text("ab", min_size=1, max_size=2)
prefixes = st.just("ROOT") | words


@given(prefixes, prefixes, st.lists(words, min_size=1, max_size=3).map("/".join))
def test_a_name_that_maps_there_maps_back(prefix: str, upstream_prefix: str, name: str) -> None:
    """ECR.md 2.5: the two directions are one mapping."""
    mapped = rule(prefix, upstream_prefix)
    theirs = upstream_name(mapped, name)
    assert theirs is None or cache_name(mapped, theirs) == name


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("quay/x", "quay"), ("quay/team/x", "quay/team"), ("quay/teams/x", "quay"), ("x/y", "ROOT"), ("quay", "ROOT")],
)
def test_the_longest_prefix_wins_and_root_is_for_the_rest(name: str, wanted: str) -> None:
    """ECR.md 2.5: "ROOT applies to repositories without another rule"."""
    rules = [rule("ROOT"), rule("quay"), rule("quay/team")]
    for order in (rules, rules[::-1]):
        found = choose(order, name)
        assert found is not None
        assert found.prefix == wanted


REGION, ACCOUNT = "us-west-2", "012345678910"
ARN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:ecr-pullthroughcache/dh-AbCdEf"


def test_an_upstream_prefix_needs_a_prefix() -> None:
    """ECR.md 2.5: upstreamRepositoryPrefix "only if ecrRepositoryPrefix is not ROOT"."""
    check_rule(rule("ROOT"), REGION, ACCOUNT)
    check_rule(rule("a", "b", ARN), REGION, ACCOUNT)
    with pytest.raises(InvalidParameter, match="upstreamRepositoryPrefix"):
        check_rule(rule("ROOT", "b"), REGION, ACCOUNT)


def test_a_rule_is_checked_with_its_upstream_and_its_secret() -> None:
    """ECR.md 2.5."""
    with pytest.raises(UnsupportedUpstreamRegistry):
        check_rule(PullThroughRule("a", "quay.io", 1.0, "k8s"), REGION, ACCOUNT)
    with pytest.raises(SecretNotFound):
        check_rule(rule("a", credential="other/secret"), REGION, ACCOUNT)


def test_a_secret_is_named_by_its_arn_or_its_name() -> None:
    """ECR.md 2.5: the name starts with `ecr-pullthroughcache/`."""
    assert secret_name(ARN, REGION, ACCOUNT) == "ecr-pullthroughcache/dh-AbCdEf"
    assert secret_name("ecr-pullthroughcache/team/dh", REGION, ACCOUNT) == "ecr-pullthroughcache/team/dh"


BAD_SECRETS: list[tuple[str, type[RegistryError]]] = [
    ("", SecretNotFound),
    ("dh", SecretNotFound),
    ("ecr-pullthroughcache/", SecretNotFound),
    ("ecr-pullthroughcache/../../etc/passwd", SecretNotFound),
    ("ecr-pullthroughcache//dh", SecretNotFound),
    ("ecr-pullthroughcache/d h", SecretNotFound),
    ("ecr-pullthroughcache/dh\n", SecretNotFound),
    (ARN.replace("ecr-pullthroughcache", "ecr"), SecretNotFound),
    (ARN.replace(":secret:", ":other:"), SecretNotFound),
    (ARN.replace(REGION, "eu-west-1"), UnableToAccessSecret),
    (ARN.replace(ACCOUNT, "999999999999"), UnableToAccessSecret),
    (ARN.replace("secretsmanager", "ssm"), UnableToAccessSecret),
]


@pytest.mark.parametrize(("credential", "refusal"), BAD_SECRETS)
def test_a_secret_elsewhere_or_of_another_name_is_refused(credential: str, refusal: type[RegistryError]) -> None:
    """ECR.md 2.5: "same account and Region"; a name that may become a path has no steps in it."""
    with pytest.raises(refusal):
        secret_name(credential, REGION, ACCOUNT)


def test_a_rule_is_stored_as_it_is() -> None:
    kept = PullThroughRule("a", "https://quay.io", 1.5, "quay", "b", ARN, "arn:aws:iam::012345678910:role/r", 2.5)
    assert msgspec.json.decode(msgspec.json.encode(kept), type=PullThroughRule) == kept
    assert msgspec.json.encode(rule("a")) == b'{"prefix":"a","upstream_url":"quay.io","created_at":1.0}'
