"""The assembly: what stands between the sockets and the store, built and put together. Nowhere else is it."""

from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from mirror import __version__
from mirror.config import Settings
from mirror.config.settings import Storage
from mirror.jobs.collection import Collector
from mirror.jobs.eviction import Evictor
from mirror.node.identities import Known
from mirror.node.peers import Peers
from mirror.node.tasks import Tasks
from mirror.oci.names import Registry
from mirror.registry.audit import Audit
from mirror.registry.authority import Authority
from mirror.registry.backfills import Backfills
from mirror.registry.configurations import Configurations
from mirror.registry.discovery import Discovery
from mirror.registry.exclusions import Exclusions
from mirror.registry.expiry import Expiry
from mirror.registry.fills import Fills
from mirror.registry.flights import Flights
from mirror.registry.healing import Healing
from mirror.registry.lifecycles import Lifecycles
from mirror.registry.manifests import Manifests
from mirror.registry.prefetch import Prefetch
from mirror.registry.public_registries import PublicRegistries
from mirror.registry.pull import PullManifests
from mirror.registry.pull_blobs import PullBlobs
from mirror.registry.pull_times import PullTimes
from mirror.registry.pullthrough import PullThrough
from mirror.registry.push import Push
from mirror.registry.quotas import Quotas
from mirror.registry.replicas import Replicas
from mirror.registry.replication_routes import Routes
from mirror.registry.repositories import Repositories
from mirror.registry.secrets import Secrets
from mirror.registry.upstream_rights import UpstreamRights
from mirror.registry.upstreams import Upstreams
from mirror.registry.view import Measures
from mirror.rules.eviction import Bounds
from mirror.rules.hosts import Hosts, NamedHost
from mirror.rules.routing import Routing, UpstreamRule
from mirror.store.store import Store
from mirror.store.usages import Usages
from mirror.upstream.client import Upstream
from mirror.upstream.limits import Limits
from mirror.upstream.throttle import Throttle

LOCALHOST: Final = "localhost"


@dataclass(frozen=True, slots=True)
class House:
    """The registry floor: what registries do, with nobody at the door yet."""

    settings: Settings
    store: Store
    known: Known
    tasks: Tasks
    hosts: Hosts
    routing: Routing
    flights: Flights
    fills: Fills
    upstreams: Upstreams
    measures: Measures
    repositories: Repositories
    authority: Authority
    kept: Manifests
    manifests: PullManifests
    pull_times: PullTimes
    blobs: PullBlobs
    push: Push
    replicas: Replicas
    routes: Routes
    backfills: Backfills
    lifecycles: Lifecycles
    expiry: Expiry
    throttle: Throttle
    peers: Peers
    healing: Healing
    discovery: Discovery
    rights: UpstreamRights
    secrets: Secrets
    pull_through: PullThrough
    collector: Collector
    evictor: Evictor
    public: PublicRegistries
    audit: Audit


class _Clients:
    """Makes clients of upstreams. One that the operator's file does not name has its address checked too."""

    def __init__(self, settings: Settings, secrets: Secrets, clocks: Limits | None) -> None:
        self._configured = settings.upstreams
        self._secrets = secrets
        self._connect = partial(Upstream, user_agent=f"mirror/{__version__}", clocks=clocks)

    def of_rule(self, registry: Registry, rule: UpstreamRule) -> Upstream:
        """Make the client that asks under the node's own name."""
        login = self._secrets.login(registry, rule)
        return self._connect(rule, credential=login, asked_for=rule not in self._configured)

    def of_caller(self, rule: UpstreamRule, login: tuple[str, str]) -> Upstream:
        """Make a client that asks under a caller's name."""
        return self._connect(rule, credential=lambda: login, asked_for=rule not in self._configured)


def build(settings: Settings, store: Store, known: Known, tasks: Tasks, audit: Audit, clocks: Limits | None) -> House:
    """Build the registry floor over an open store. `clocks` are those of the upstreams, shorter in tests."""
    secrets = Secrets(store.documents, known.seals, settings.registry.region)
    clients = _Clients(settings, secrets, clocks)
    routing = Routing(settings.home, settings.upstreams, _own_hosts(settings.server.public_url))
    flights = Flights(tasks.spawn)
    throttle = Throttle(settings.replication.bytes_s_max)
    upstreams = Upstreams(clients.of_rule)
    repositories = Repositories(store.index, store.catalog, store.documents, routing)
    manifests = Manifests(store.files, store.index, store.catalog, store.guard)
    pull = PullManifests(store.index, store.catalog, manifests, repositories, upstreams, flights)
    fills = Fills(store.files, store.index, store.guard, store.space, tasks.spawn)
    blobs = PullBlobs(store, repositories, fills, upstreams, flights)
    pull.followers.append(Prefetch(pull, blobs, throttle, tasks.spawn).follow)
    peers = Peers(settings)
    healing = Healing(store, fills, blobs, pull, flights, throttle, peers.of)
    blobs.menders.append(healing.begin)
    authority = _authority(settings, store, known, routing)
    routes = _routes(settings, store)
    pull_times = PullTimes(store.images, Exclusions(store.documents))
    lifecycles = Lifecycles(repositories, store.catalog, store.lifecycles, tasks.spawn)
    region = settings.registry.region
    collector = Collector(store.collection, store.files, store.space)
    return House(
        settings=settings,
        store=store,
        known=known,
        tasks=tasks,
        throttle=throttle,
        fills=fills,
        peers=peers,
        healing=healing,
        hosts=_hosts(settings),
        routing=routing,
        flights=flights,
        upstreams=upstreams,
        measures=Measures(store.files, store.index, upstreams),
        repositories=repositories,
        authority=authority,
        kept=manifests,
        manifests=pull,
        pull_times=pull_times,
        blobs=blobs,
        push=_push(settings, store, manifests, repositories),
        routes=routes,
        backfills=Backfills(store.documents, store.replications, repositories, store.images, routes, tasks.spawn),
        lifecycles=lifecycles,
        expiry=Expiry(repositories, lifecycles, store.lifecycles, pull_times, audit, region),
        replicas=Replicas(store.index, store.catalog, store.images, manifests, repositories, authority),
        discovery=Discovery(store.index, store.catalog, upstreams, flights),
        rights=UpstreamRights(routing, clients.of_caller, flights),
        secrets=secrets,
        pull_through=_pull_through(settings, store, routing, upstreams, secrets),
        collector=collector,
        evictor=_evictor(settings.storage, store, collector, pull_times, repositories),
        public=PublicRegistries(store.documents),
        audit=audit,
    )


def _evictor(
    storage: Storage, store: Store, collector: Collector, pulls: PullTimes, repositories: Repositories
) -> Evictor:
    return Evictor(
        Bounds(storage.cache_bytes_max, storage.cache_unused_s_max, storage.free_bytes_min),
        storage.keep,
        store,
        collector,
        pulls,
        repositories.name,
    )


def _authority(settings: Settings, store: Store, known: Known, routing: Routing) -> Authority:
    return Authority(
        store.index,
        store.documents,
        known.identities,
        routing,
        region=settings.registry.region,
        anonymous=frozenset(settings.access.anonymous),
    )


def _push(settings: Settings, store: Store, manifests: Manifests, repositories: Repositories) -> Push:
    return Push(
        store.index,
        store.catalog,
        store.uploads,
        manifests,
        repositories,
        store.documents,
        store.guard,
        Quotas(settings.quotas, Usages(store.database), settings.registry.account),
        create_on_push=settings.registry.create_on_push,
    )


def _routes(settings: Settings, store: Store) -> Routes:
    configurations = Configurations(store.documents, settings.registry.region)
    return Routes(store.documents, configurations, settings.destinations, settings.home)


def _pull_through(
    settings: Settings, store: Store, routing: Routing, upstreams: Upstreams, secrets: Secrets
) -> PullThrough:
    return PullThrough(
        store.documents,
        routing,
        upstreams,
        store.catalog,
        store.index,
        secrets,
        settings.upstreams,
        region=settings.registry.region,
    )


def _hosts(settings: Settings) -> Hosts:
    """Name the node's registries as the configuration does. The port is the one that is listened on, once it is."""
    public = urlsplit(settings.server.public_url)
    account, domain = settings.registry.account, settings.registry.domain
    own = public.hostname or ""
    secure = public.scheme == "https" if own else bool(settings.server.tls.certificate)
    named = [NamedHost(one.name, one.account or account, one.registry, one.login) for one in settings.hosts]
    if all(one.name != LOCALHOST for one in named):
        # A name to log in by that needs no DNS: dockerd finds its mirror by 127.0.0.1, people type this one.
        named.append(NamedHost(LOCALHOST, account, "private", "basic"))
    home_host = "" if own.endswith(f".{domain}") else own
    return Hosts(
        settings.home,
        settings.registry.region,
        domain,
        login=settings.registry.login,
        named=named,
        home_host=home_host or (LOCALHOST if domain == LOCALHOST else ""),
        scheme="https" if secure else "http",
        port=(public.port or 0) if own else 0,
    )


def _own_hosts(public_url: str) -> frozenset[str]:
    """Return the names by which a client's `?ns=` may mean this node itself."""
    return frozenset({urlsplit(public_url).netloc}) - {""}
