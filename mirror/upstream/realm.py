"""Realms: which token endpoints an upstream may send us to, credential in hand.

Source: RELIABILITY A17 (CVE-2020-15157 and its kin): a realm is the upstream's word, so it is checked against what the
operator configured. Pure: names only; the addresses behind them are checked at connect time.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final

from yarl import URL

# Token endpoints outside their registry's own domain, by registry host.
KNOWN_REALMS: Final[Mapping[str, frozenset[str]]] = {
    "registry-1.docker.io": frozenset({"auth.docker.io"}),
    "index.docker.io": frozenset({"auth.docker.io"}),
}

# Domains whose sub-domains belong to different people: there only the very same host is trusted.
SHARED_DOMAINS: Final = frozenset(
    {
        *("amazonaws.com", "azure.com", "azurecr.io", "windows.net", "cloudapp.net", "azurewebsites.net"),
        *("gcr.io", "pkg.dev", "googleapis.com", "run.app", "appspot.com", "cloudfront.net", "cloudflare.com"),
        *("github.io", "gitlab.io", "githubusercontent.com", "workers.dev", "pages.dev", "herokuapp.com", "fly.dev"),
        *("jfrog.io", "ocir.io", "oraclecloud.com", "aliyuncs.com", "myhuaweicloud.com", "digitaloceanspaces.com"),
        *("ngrok.io", "nip.io", "sslip.io", "duckdns.org", "dyndns.org", "onrender.com", "netlify.app", "vercel.app"),
    }
)

# Second levels under which a country's registry sells names: there the registrable domain has three labels.
_SOLD_SECOND_LEVELS: Final = frozenset({"co", "com", "net", "org", "gov", "edu", "ac", "or", "ne", "go", "gob", "gouv"})


def is_trusted_realm(realm: URL, upstream: URL) -> bool:
    """Say whether a token for `upstream` may be asked, with its credential, at `realm`.

    The scheme is https or the upstream's own; no user-info; the host is the upstream's own (any port: an
    authorization server often runs beside its registry), a known one, or under the same registrable domain. An IP
    address or a one-label name stands for itself only.
    """
    if realm.scheme != "https" and not (realm.scheme == upstream.scheme == "http"):
        return False
    host, own = realm.raw_host or "", upstream.raw_host or ""
    if not host or realm.user is not None or realm.password is not None or host.endswith("."):
        return False
    if host == own or host in KNOWN_REALMS.get(own, ()):
        return True
    domain = registrable_domain(own)
    return domain is not None and domain == registrable_domain(host)


def registrable_domain(host: str) -> str | None:
    """Return the domain that one owner holds, by rule of thumb; None where a host stands for itself only."""
    labels = host.split(".")
    if len(labels) < 2 or "" in labels or _is_address(host):
        return None
    count = 3 if len(labels[-1]) == 2 and labels[-2] in _SOLD_SECOND_LEVELS else 2
    domain = ".".join(labels[-count:])
    return None if len(labels) < count or domain in SHARED_DOMAINS else domain


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        # A last label of digits is an old spelling of an IPv4 address (`127.1`), never a top-level domain.
        return host.rpartition(".")[2].isdigit()
    return True
