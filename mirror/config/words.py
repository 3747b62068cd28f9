"""Grammar of the values that the configuration holds: one function a kind, text in, checked value out.

Each raises ValueError with what is wanted. Never: prints a URL that may carry a password. No I/O.
"""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from mirror.aws.arns import ACCOUNT
from mirror.config.settings import Listen, Share, parse_listen
from mirror.oci.errors import NameInvalid
from mirror.oci.names import parse_name
from mirror.rules import patterns, windows
from mirror.rules.identities import is_key_id
from mirror.rules.routing import DOCKER_HUB

NAME_CHARS_MAX: Final = 80  # an upstream's name stands before each repository name in the index, whose keys are short
WHOLE_MAX: Final = 2**53  # what every reader of numbers keeps exactly
GLOB_CHARS_MAX: Final = 256  # a tag has 128 characters at most; a longer pattern matches nothing that a shorter cannot
_NAME: Final = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?::[0-9]{1,5})?")
_REGION: Final = re.compile(r"[a-z0-9-]{2,25}")  # as the ECR API has it
_DOMAIN: Final = re.compile(r"[a-z0-9]+(?:[.-]+[a-z0-9]+)*")
HOST_CHARS_MAX: Final = 253  # RFC 1035 section 2.3.4
_PLATFORM: Final = re.compile(r"[a-z0-9]+/[a-z0-9]+(?:/[a-z0-9.]+)?")
_OWN_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|[0-9a-fA-F:.]+")
_HUB_HOSTS: Final = frozenset({"registry-1.docker.io", "index.docker.io", "registry.hub.docker.com", "hub.docker.com"})


def text(value: object) -> str:
    """Read a text without controls."""
    if not isinstance(value, str):
        raise _unwanted("a text", value)
    if not value.isprintable():
        raise ValueError("the text has a control character")
    return value


def flag(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise _unwanted("true or false", value)
    return value


def seconds(value: object) -> float:
    """Read a number of seconds, zero or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unwanted("a number of seconds", value)
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{value} is not a number of seconds from 0 up")
    return float(value)


def share(value: object) -> float:
    """Read a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unwanted("a number from 0 to 1", value)
    if not 0 <= value <= 1:
        raise ValueError(f"{value} is not a number from 0 to 1")
    return float(value)


def whole(value: object) -> int:
    """Read a whole number, zero or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise _unwanted("a whole number", value)
    if not 0 <= value <= WHOLE_MAX:
        raise ValueError(f"a whole number from 0 to {WHOLE_MAX} is wanted")
    return value


def path(value: object) -> Path:
    """Read a path."""
    if not text(value):
        raise ValueError("a path is wanted, not an empty text")
    return Path(text(value))


def listen(value: object) -> Listen:
    """Read an address to listen on."""
    return parse_listen(text(value))


KINDS: Final[Mapping[object, Callable[[object], Any]]] = {
    str: text,
    bool: flag,
    float: seconds,
    Share: share,
    int: whole,
    Path: path,
    Listen: listen,
}


def public_url(value: str) -> str:
    """Read `http(s)://host[:port]`, or "" for none."""
    return _base_url(value) if value else ""


def upstream_url(value: str) -> str:
    """Read the `http(s)://host[:port]` of a registry."""
    return _base_url(value)


def upstream_name(value: str) -> str:
    """Read the name by which clients say an upstream: a host, with its port where it is not the usual one."""
    if len(value) > NAME_CHARS_MAX or not _NAME.fullmatch(value):
        raise ValueError(
            f"{value!r} is not a registry's host[:port] in lower case of at most {NAME_CHARS_MAX} characters"
        )
    if value in _HUB_HOSTS:
        raise ValueError(f"clients call this registry {DOCKER_HUB}: use that name, and {value!r} in url only")
    return value


def prefix(value: str) -> str:
    """Read a path prefix: it must stand in a repository name."""
    try:
        return parse_name(value) if value else ""
    except NameInvalid as error:
        raise ValueError(f"not a path prefix: {error.message}") from None


def glob(value: str) -> str:
    """Read a pattern of tags, in which `*` is any run of characters."""
    if not value or len(value) > GLOB_CHARS_MAX:
        raise ValueError(f"a pattern of 1 to {GLOB_CHARS_MAX} characters is wanted")
    return value


def platform(value: str) -> str:
    """Read `os/architecture` or `os/architecture/variant`."""
    if not _PLATFORM.fullmatch(value):
        raise ValueError(f"{value!r} is not os/architecture[/variant], such as linux/amd64 or linux/arm/v7")
    return value


def account(value: str) -> str:
    """Read an AWS account number."""
    if not ACCOUNT.fullmatch(value):
        raise ValueError(f"{value!r} is not an account of 12 digits")
    return value


def own_account(value: str) -> str:
    """Read an account number, or "" for the node's own."""
    return account(value) if value else ""


def region(value: str) -> str:
    """Read the name of a region, such as us-east-1."""
    if not _REGION.fullmatch(value):
        raise ValueError(f"{value!r} is not a region: 2 to 25 lower-case letters, digits and hyphens")
    return value


def host(value: str) -> str:
    """Read a host name, without a port: clients may come by several."""
    if len(value) > HOST_CHARS_MAX or not _DOMAIN.fullmatch(value):
        raise ValueError(f"{value!r} is not a host name in lower case, without a port")
    return value


def webhook_url(value: str) -> str:
    """Read the `http(s)://` URL that events are sent to."""
    parts = _split(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or "#" in value:
        raise ValueError("an http(s) URL with a host and without a user is wanted")
    return value


def access_key(value: str) -> str:
    """Read the id of an access key."""
    if not is_key_id(value):
        raise ValueError("the id of an access key is wanted, such as AKIAIOSFODNN7EXAMPLE")
    return value


def own_name(value: str) -> str:
    """Read the name of a destination or of what is synchronized: by it commands and metrics speak of it."""
    if not _OWN_NAME.fullmatch(value):
        raise ValueError(
            f"{value!r} is not a name of 1 to 64 lower-case letters, digits, dots, hyphens and underscores"
        )
    return value


def pattern(value: str) -> str:
    """Read a pattern of names or tags."""
    patterns.compiled(value.removeprefix("!"))
    return value


def window(value: str) -> str:
    """Read a window of time."""
    list(windows.spans(value))
    return value


def names(value: str) -> str:
    """Read a pattern of repositories to fetch: what a name begins with says where."""
    if value.startswith(("re:", "semver:", "*")):
        raise ValueError("a repository is wanted, or a pattern with * that begins with its upstream: quay.io/team/*")
    return pattern(value)


def collector_url(value: str) -> str:
    """Read the address of a collector, without the path of OTLP; empty is none."""
    return _base_url(value, "/v1/traces") if value else ""


# By table and key; a key of a list has its items read.
WORDS: Final[Mapping[str, Callable[[str], str]]] = {
    "server.public_url": public_url,
    "storage.keep": pattern,
    "traces.endpoint": collector_url,
    "upstream.name": upstream_name,
    "upstream.url": upstream_url,
    "upstream.prefix": prefix,
    "upstream.immutable_tags": glob,
    "upstream.platforms": platform,
    "upstream.upstream_prefix": prefix,
    "registry.account": account,
    "registry.region": region,
    "registry.domain": host,
    "host.name": host,
    "host.account": own_account,
    "webhook.url": webhook_url,
    "region.name": region,
    "region.url": upstream_url,
    "region.access_key": access_key,
    "region.account": own_account,
    "region.windows": window,
    "destination.name": own_name,
    "destination.url": upstream_url,
    "destination.account": own_account,
    "destination.repositories": pattern,
    "destination.tags": pattern,
    "destination.strip": prefix,
    "destination.prefix": prefix,
    "destination.platforms": platform,
    "destination.windows": window,
    "sync.name": own_name,
    "sync.repositories": names,
    "sync.images": names,
    "sync.tags": pattern,
    "sync.platforms": platform,
    "sync.windows": window,
    "quota.account": own_account,
    "quota.repositories": pattern,
}


def said(value: object) -> str:
    """Name the TOML type of a value, never the value: it may be a secret in the wrong place."""
    names = {bool: "a boolean", int: "an integer", float: "a float", str: "a text", list: "a list", dict: "a table"}
    return names.get(type(value), "a date or time")


def _unwanted(wanted: str, value: object) -> ValueError:
    return ValueError(f"{wanted} is wanted, not {said(value)}")


def _base_url(value: str, below: str = "/v2/") -> str:
    parts = _split(value)
    if parts.scheme not in ("http", "https"):
        raise ValueError("a URL that starts with https:// or http:// is wanted")
    if "@" in parts.netloc:
        raise ValueError("a URL must not carry a user or password: use username and password_file")
    if not parts.hostname or not _HOST.fullmatch(parts.hostname):
        raise ValueError("the URL names no host")
    if parts.path not in ("", "/") or "?" in value or "#" in value:
        raise ValueError(f"a URL of scheme and host only is wanted: no path (the node adds {below} itself), no query")
    return f"{parts.scheme}://{parts.netloc}"


def _split(value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        raise ValueError("a URL of scheme, host and port is wanted") from None
    return parts
