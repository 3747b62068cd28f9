"""Pull-through cache rules: upstreams, prefixes and how names map."""

import msgspec
import pytest

from mirror.aws.errors import InvalidParameter, SecretNotFound, UnableToAccessSecret, UnsupportedUpstreamRegistry
from mirror.oci.errors import RegistryError
from mirror.rules.pullthrough import (
    KINDS,
    PullThroughRule,
    check_rule,
    read_upstream,
    secret_name,
)

AWS_LIST = [
    ("ecr-public", "public.ecr.aws"),
    ("k8s", "registry.k8s.io"),
    ("quay", "quay.io"),
    ("docker-hub", "registry-1.docker.io"),
    ("github-container-registry", "ghcr.io"),
    ("gitlab-container-registry", "registry.gitlab.com"),
    ("azure-container-registry", "myname.azurecr.io"),
    ("chainguard", "cgr.dev"),
    ("ecr", "123456789012.dkr.ecr.eu-west-1.amazonaws.com"),
]


@pytest.mark.parametrize(("registry", "url"), AWS_LIST)
def test_the_upstreams_of_aws_are_known_by_their_url(registry: str, url: str) -> None:
    """ECR.md 2.5, the table of upstreams: `upstreamRegistry` is optional and derived from the URL."""
    for given_url in (url, f"https://{url}", f"HTTPS://{url.upper()}/", f"{url}:443"):
        for given_registry in (None, "", registry):
            found = read_upstream(given_url, given_registry)
            assert (found.registry, found.url) == (registry, f"https://{url}")


def test_the_table_above_is_the_whole_list() -> None:
    """ECR.md appendix A, UpstreamRegistry."""
    assert [kind.name for kind in KINDS] == [registry for registry, _ in AWS_LIST]


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
    assert (found.registry, found.url) == ("", wanted)
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
