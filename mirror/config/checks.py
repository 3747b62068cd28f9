"""What only several settings together can get wrong, and the files that settings name: they are opened, never kept."""

import os
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from mirror import telemetry
from mirror.config.faults import Faults, nearest
from mirror.config.settings import Region, Server, Settings, Storage, Webhook
from mirror.oci.errors import NameInvalid
from mirror.oci.names import parse_name
from mirror.registry.events import TYPES
from mirror.rules.destinations import DestinationRule
from mirror.rules.quotas import QuotaRule
from mirror.rules.routing import UpstreamRule
from mirror.rules.syncing import SyncRule
from mirror.store.files import ARCHIVE

DRAIN_S_MAX: Final = 3_600.0  # a machine that shuts down does not wait longer for anybody
WORKERS_MAX: Final = 64  # of one place: more are no faster, and are called abuse there

T = TypeVar("T")
Found = Iterator[tuple[str, str]]  # key below the table, and what is wrong with it


def across(settings: Settings, faults: Faults) -> None:
    """Note every fault that stands between settings."""
    for key, message in _server(settings.server):
        faults.add(f"server.{key}", message)
    for key, message in _storage(settings.storage):
        faults.add(f"storage.{key}", message)
    if settings.traces.endpoint and not telemetry.can_trace():
        faults.add("traces.endpoint", "spans need the packages of the extra `traces`: pip install 'mirror[traces]'")
    own = settings.registry.region
    _each("region", settings.regions, lambda one, others: _region(one, others, own), faults)
    _each("destination", settings.destinations, _destination, faults)
    _each("sync", settings.syncs, _sync, faults)
    _each("quota", settings.quotas, _quota, faults)
    _each("webhook", settings.webhooks, _webhook, faults)
    _each("upstream", settings.upstreams, _upstream, faults)


def _each(table: str, items: Sequence[T], check: Callable[[T, Sequence[T]], Found], faults: Faults) -> None:
    """Note the faults of each table of a list, seen with those before it."""
    for number, one in enumerate(items):
        for key, message in check(one, items[:number]):
            faults.add(f"{table}[{number}].{key}", message)


def _server(server: Server) -> Found:
    for number, address in enumerate(server.listen):
        if address in server.listen[:number] and address.port:
            yield "listen", f"{address} stands there twice"
    if server.drain_s > DRAIN_S_MAX:
        yield "drain_s", f"{server.drain_s:g} seconds: a stop may take {DRAIN_S_MAX:g} at most"
    certificate, key = server.tls.certificate, server.tls.key
    if bool(certificate) != bool(key):
        yield "tls", "certificate and key are wanted, both or neither"
    elif certificate:
        yield from _tls(certificate, key)


def _storage(storage: Storage) -> Found:
    if not storage.archive_root:
        return
    root, archive = storage.root.absolute(), Path(storage.archive_root).absolute()
    if archive.is_relative_to(root) or root.is_relative_to(archive):
        yield "archive_root", f"{archive} and the storage root {root} must not be one within the other"
    # Of an archive that was in use it is no fault: its disk may be mounted again while the node serves.
    elif not (root / ARCHIVE).is_symlink() and not (archive.is_dir() and os.access(archive, os.W_OK | os.X_OK)):
        yield "archive_root", f"{archive} is not a directory that can be written"


def _tls(certificate: str, key: str) -> Found:
    unreadable = [*_readable("tls.certificate", certificate), *_readable("tls.key", key)]
    yield from unreadable
    if not unreadable:
        try:
            # An encrypted key must not make the node ask a terminal for its password.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
        except (ssl.SSLError, ValueError):
            yield "tls", "certificate and key are not a pair of PEM files that belong together, without a password"


def _region(region: Region, others: Sequence[Region], own: str) -> Found:
    if region.name and region.name == own:
        yield "name", f"{own} is this node's own region"
    for number, other in enumerate(others):
        if (region.name, region.account) == (other.name, other.account):
            yield "name", f"region[{number}] is the way to {region.name} for this account already"
    yield from _workers(region.workers)
    if region.secret_file:
        yield from _readable("secret_file", region.secret_file)
    if region.ca_file:
        yield from _authorities("ca_file", region.ca_file)


def _destination(rule: DestinationRule, others: Sequence[DestinationRule]) -> Found:
    yield from _named_once("destination", rule.name, [other.name for other in others])
    yield from _workers(rule.workers)
    yield from _credential(rule.username, rule.password_file)
    if rule.ca_file:
        yield from _authorities("ca_file", rule.ca_file)


def _sync(rule: SyncRule, others: Sequence[SyncRule]) -> Found:
    yield from _named_once("sync", rule.name, [other.name for other in others])
    if not rule.repositories and not rule.images:
        yield "repositories", "is required, or images"
    for image in rule.images:
        if "*" in image or image.startswith("!"):
            yield "images", f"{image!r} is a pattern: those are for repositories and tags"


def _quota(rule: QuotaRule, others: Sequence[QuotaRule]) -> Found:
    if not rule.bytes_max and not rule.images_max:
        yield "bytes_max", "is required, or images_max"
    for number, other in enumerate(others):
        if (rule.account, rule.repositories) == (other.account, other.repositories):
            yield "repositories", f"quota[{number}] is for the same: put both limits into one"


def _named_once(table: str, name: str, others: Sequence[str]) -> Found:
    if name and name in others:
        yield "name", f"{name!r} is the name of {table}[{others.index(name)}] too"


def _workers(count: int) -> Found:
    if not 0 < count <= WORKERS_MAX:
        yield "workers", f"a number from 1 to {WORKERS_MAX} is wanted"


def _webhook(hook: Webhook, others: Sequence[Webhook]) -> Found:
    for number, other in enumerate(others):
        if hook.url == other.url:
            # One URL is one receiver, which remembers how far it was told: a second one would move the first one on.
            yield "url", f"webhook[{number}] has this URL already: put both filters into one"
    for kind in hook.filter:
        if kind not in TYPES:
            yield "filter", f"{kind!r} is no event of this node{nearest(kind, TYPES)}"
    if hook.secret_file:
        yield from _readable("secret_file", hook.secret_file)


def _upstream(rule: UpstreamRule, others: Sequence[UpstreamRule]) -> Found:
    if rule.name and not rule.prefix and not _is_name(rule.name):
        yield "name", f"{rule.name!r} cannot be a path prefix: give this upstream a prefix of its own"
    yield from _credential(rule.username, rule.password_file)
    if rule.ca_file:
        yield from _authorities("ca_file", rule.ca_file)
    yield from _among(rule, others)


def _credential(username: str, password_file: str) -> Found:
    if username and not password_file:
        yield "username", "password_file is wanted with it"
    if password_file:
        if not username:
            yield "password_file", "username is wanted with it"
        yield from _readable("password_file", password_file)


def _among(rule: UpstreamRule, others: Sequence[UpstreamRule]) -> Found:
    for number, other in enumerate(others):
        if rule.name and rule.name == other.name:
            yield "name", f"{rule.name!r} is the name of upstream[{number}] too"
        elif rule.path_prefix and rule.path_prefix == other.path_prefix:
            yield "prefix" if rule.prefix else "name", f"{rule.path_prefix!r} is the prefix of upstream[{number}] too"
        if rule.root and other.root:
            yield "root", f"upstream[{number}] is the root already: un-prefixed names can mean one upstream only"


def _is_name(text: str) -> bool:
    try:
        parse_name(text)
    except NameInvalid:
        return False
    return True


def _authorities(key: str, path: str) -> Found:
    unreadable = list(_readable(key, path))
    yield from unreadable
    if not unreadable:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
        except ssl.SSLError:
            yield key, "has no certificate in PEM form"


def _readable(key: str, path: str) -> Found:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        yield key, f"{path} cannot be read: {error.strerror}"
