"""The shapes of the settings, with their defaults: one class a table of the file, one field a key.

Source: the configuration contract in the project's README; `config/full.toml` shows every key. Paths are absolute or
relative to where the node starts once `load` is done with them. Pure.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NewType

from mirror.oci.names import Registry
from mirror.rules.destinations import WORKERS, DestinationRule
from mirror.rules.quotas import QuotaRule
from mirror.rules.routing import UpstreamRule
from mirror.rules.syncing import SyncRule
from mirror.telemetry import LogFormat, LogLevel

Action = Literal["pull", "push", "delete"]
Plane = Literal["private", "public"]
# How a registry asks for credentials: `auto` challenges only where a request is refused without them.
Login = Literal["auto", "basic", "token"]

Share = NewType("Share", float)  # from 0 to 1

PORT_MAX: Final = 65_535
ACCOUNT_DEFAULT: Final = "000000000000"  # no real AWS account has this number
ROOT_DEFAULT: Final = Path("/var/lib/mirror")  # the usual place of a service; a user's own node is given another
FREE_BYTES_DEFAULT: Final = 1024**3
SCRUB_BYTES_S_DEFAULT: Final = 10_000_000  # six terabytes a week; a tenth of what one slow disk reads
SAMPLE_DEFAULT: Final = Share(0.01)  # a busy node has thousands of walks a second, and all of them look alike
_HOST_PORT: Final = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen on: `host` and `port` (0 = any free one), or `path` of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> Listen:
    """Read `HOST:PORT`, `[IPv6]:PORT` or `unix:/path`; anything else raises ValueError."""
    if text.startswith("unix:"):
        if not text.startswith("unix:/") or "\0" in text:
            raise ValueError(f"{text!r} is not unix:/absolute/path")
        return Listen(path=text[5:])
    match = _HOST_PORT.fullmatch(text)
    if match is None or int(match[3]) > PORT_MAX:
        raise ValueError(f"{text!r} is not HOST:PORT, [IPv6]:PORT or unix:/path")
    return Listen(host=match[1] or match[2], port=int(match[3]))


@dataclass(frozen=True, slots=True)
class Tls:
    """`tls = { ... }` of `[server]`: both files, or neither."""

    certificate: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """`[server]`: where the node is reached."""

    listen: tuple[Listen, ...] = (Listen("127.0.0.1", 5000),)
    public_url: str = ""
    tls: Tls = Tls()
    drain_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Storage:
    """`[storage]`: where the node keeps what it has, and how much of what it cached."""

    root: Path = ROOT_DEFAULT
    archive_root: str = ""
    cache_bytes_max: int = 0
    cache_unused_s_max: float = 0.0
    free_bytes_min: int = FREE_BYTES_DEFAULT
    keep: tuple[str, ...] = ()
    scrub_bytes_s: int = SCRUB_BYTES_S_DEFAULT


@dataclass(frozen=True, slots=True)
class Access:
    """`[access]`: what a caller without credentials may do."""

    anonymous: tuple[Action, ...] = ("pull",)


@dataclass(frozen=True, slots=True)
class Home:
    """`[registry]`: whose registries this node has, and how clients call them."""

    account: str = ACCOUNT_DEFAULT
    region: str = "us-east-1"
    domain: str = "localhost"
    create_on_push: bool = False
    login: Login = "auto"


@dataclass(frozen=True, slots=True)
class Host:
    """One `[[host]]`: a further name by which clients call one of the node's registries."""

    name: str
    account: str = ""
    registry: Plane = "private"
    login: Login = "auto"


@dataclass(frozen=True, slots=True)
class Iam:
    """`[iam]`: the users that a file declares."""

    file: str = ""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One `[[webhook]]`: who is told of events. `filter`: event types, all where there are none."""

    url: str
    secret_file: str = ""
    filter: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Region:
    """One `[[region]]`: the node of another region, and the access key there of the account whose images go there."""

    name: str
    url: str
    access_key: str
    secret_file: str
    account: str = ""
    ca_file: str = ""
    workers: int = WORKERS
    bytes_s_max: int = 0
    windows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Replication:
    """`[replication]`: what holds for all that the node sends to other places, and fetches before it is asked for."""

    bytes_s_max: int = 0


@dataclass(frozen=True, slots=True)
class Log:
    """`[log]`: what is written to stderr, and how."""

    level: LogLevel = "info"
    access: bool = False
    format: LogFormat = "json"
    audit: str = ""


@dataclass(frozen=True, slots=True)
class Traces:
    """`[traces]`: the collector that spans are sent to by OTLP/HTTP, none where it is "", and of how many walks."""

    endpoint: str = ""
    sample: Share = SAMPLE_DEFAULT


UPSTREAMS_DEFAULT: Final = (
    UpstreamRule("docker.io", "https://registry-1.docker.io", root=True),
    UpstreamRule("ghcr.io", "https://ghcr.io"),
    UpstreamRule("quay.io", "https://quay.io"),
    UpstreamRule("registry.k8s.io", "https://registry.k8s.io"),
    UpstreamRule("gcr.io", "https://gcr.io"),
    UpstreamRule("mcr.microsoft.com", "https://mcr.microsoft.com"),
    UpstreamRule("public.ecr.aws", "https://public.ecr.aws"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the operator decides. Without a file: a mirror of the public registries for this machine."""

    server: Server = Server()
    storage: Storage = Storage()
    access: Access = Access()
    log: Log = Log()
    traces: Traces = Traces()
    registry: Home = Home()
    iam: Iam = Iam()
    hosts: tuple[Host, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    replication: Replication = Replication()
    regions: tuple[Region, ...] = ()
    destinations: tuple[DestinationRule, ...] = ()
    syncs: tuple[SyncRule, ...] = ()
    quotas: tuple[QuotaRule, ...] = ()
    upstreams: tuple[UpstreamRule, ...] = UPSTREAMS_DEFAULT

    @property
    def home(self) -> Registry:
        """The private registry of the node's own account: what any other host name means."""
        return Registry(self.registry.account)
