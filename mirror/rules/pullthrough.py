"""Pull-through cache rules: which upstream a name of ours stands for, and how the two names map.

Source: ECR guide, "Sync an upstream registry with an Amazon ECR private registry"; ECR.md 2.5. A prefix ends at an
implied slash; nothing is added to names (no `library/`). Beyond the list of AWS any registry with an http or https URL
may be an upstream. Lengths and patterns of prefixes are the API model's concern. Pure.
"""

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from mirror.aws.arns import parse_arn
from mirror.aws.errors import SecretNotFound, UnableToAccessSecret, UnsupportedUpstreamRegistry, constraint

ROOT: Final = "ROOT"  # as prefix: all names that no other rule is for; as upstream prefix: names stay as they are
RULES_MAX: Final = 50  # ECR quota: pull-through cache rules in a registry
SECRETS_BELOW: Final = "ecr-pullthroughcache/"
URL_CHARS_MAX: Final = 512  # a host name has 253 at most

_SECRET: Final = re.compile(rf"{SECRETS_BELOW}[a-zA-Z0-9/_+=.@-]+")  # ecr model, CredentialArn
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_URL: Final = re.compile(
    rf"(?:(?P<scheme>https?)://)?(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?/?"
)
# What people call Docker Hub; only the last one is a registry.
_ALIASES: Final = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Kind:
    """A registry on AWS's list: its name there, and its host."""

    name: str
    host: re.Pattern[str]


def _host(*names: str) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, names)))


KINDS: Final = (
    Kind("ecr-public", _host("public.ecr.aws")),
    Kind("k8s", _host("registry.k8s.io")),
    Kind("quay", _host("quay.io")),
    Kind("docker-hub", _host("registry-1.docker.io")),
    Kind("github-container-registry", _host("ghcr.io")),
    Kind("gitlab-container-registry", _host("registry.gitlab.com")),
    Kind("azure-container-registry", re.compile(rf"{_LABEL}\.azurecr\.io")),
    Kind("chainguard", _host("cgr.dev")),
    # In one account ECR needs nothing, across accounts a role: never a secret.
    Kind("ecr", re.compile(r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?")),
)


@dataclass(frozen=True, slots=True)
class Upstream:
    """An upstream that was read: AWS's name for it, or "", and its URL `scheme://host[:port]`."""

    registry: str
    url: str


class PullThroughRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule of a registry. `upstream_url` is as it was given; times in unix seconds, `updated_at` 0 for never."""

    prefix: str
    upstream_url: str
    created_at: float
    upstream_registry: str = ""
    upstream_prefix: str = ROOT
    credential_arn: str = ""
    custom_role_arn: str = ""
    updated_at: float = 0.0


def read_upstream(url: str, upstream_registry: str | None = None) -> Upstream:
    """Read `[http[s]://]host[:port]`, https if nothing else is said. Raises UnsupportedUpstreamRegistry.

    No path, query or user-info is taken. A `upstream_registry` that is given must be what the URL is.
    """
    match = _URL.fullmatch(url.lower()) if url.isascii() and len(url) <= URL_CHARS_MAX else None
    if match is None or (match["port"] and int(match["port"]) not in range(1, 2**16)):
        raise UnsupportedUpstreamRegistry(f"The upstream registry URL {url[:160]!r} is not [http[s]://]host[:port]")
    scheme, host = match["scheme"] or "https", _ALIASES.get(match["host"], match["host"])
    number = int(match["port"] or _DEFAULT_PORTS[scheme])
    port = "" if number == _DEFAULT_PORTS[scheme] else f":{number}"
    kind = _kind(host) if scheme == "https" and not port else None
    name = kind.name if kind else ""
    if upstream_registry and upstream_registry != name:
        raise UnsupportedUpstreamRegistry(
            f"The upstream registry URL {url[:160]!r} is not that of {upstream_registry[:50]!r}"
        )
    return Upstream(name, f"{scheme}://{host}{port}")


def _kind(host: str) -> Kind | None:
    return next((kind for kind in KINDS if kind.host.fullmatch(host)), None)


def check_rule(rule: PullThroughRule, region: str, account: str) -> None:
    """Check a rule of the registry of `account` in `region`.

    Raises UnsupportedUpstreamRegistry, InvalidParameter, SecretNotFound or UnableToAccessSecret.
    """
    read_upstream(rule.upstream_url, rule.upstream_registry)
    if rule.prefix == ROOT and rule.upstream_prefix != ROOT:
        raise constraint("upstreamRepositoryPrefix", "Must be ROOT or absent when ecrRepositoryPrefix is ROOT")
    if rule.credential_arn:
        secret_name(rule.credential_arn, region, account)


def secret_name(credential: str, region: str, account: str) -> str:
    """Return the name of the secret, `ecr-pullthroughcache/...`, that `credential` gives as an ARN or as it is.

    Of an ARN the name ends as the ARN does, with AWS's six random characters. Raises SecretNotFound for what cannot
    be a secret's name, UnableToAccessSecret for one of another account or region.
    """
    arn = parse_arn(credential)
    if arn is None:
        name = credential
    elif arn.service != "secretsmanager" or (arn.region, arn.account) != (region, account):
        raise UnableToAccessSecret(f"The secret {credential[:160]!r} must be in account {account} and Region {region}")
    else:
        name = arn.resource.removeprefix("secret:")
    # The name may become a path: no part of it may be a step.
    if not _SECRET.fullmatch(name) or any(part in ("", ".", "..") for part in name.split("/")):
        raise SecretNotFound(f"The name of the secret {credential[:160]!r} must start with '{SECRETS_BELOW}'")
    return name
