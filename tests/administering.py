"""A node's administration socket for tests: real store, identities and protocols, in the loop that asks.

async with administered(tmp_path) as house:
    async with reached(house.path) as node:
        await node.iam("CreateUser", UserName="ci")
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registries import HOME
from stores import opened

from mirror.aws.errors import UnrecognizedClient
from mirror.jobs.collection import Collector
from mirror.registry.audit import Audit
from mirror.registry.authority import Authority
from mirror.registry.backfills import Backfills
from mirror.registry.configurations import Configurations
from mirror.registry.identities import Identities, Passwords, open_seals
from mirror.registry.policies import RepositoryPolicies
from mirror.registry.replication_routes import Routes
from mirror.registry.repositories import Repositories
from mirror.registry.secrets import Secrets
from mirror.registry.syncing import Syncs
from mirror.rules.destinations import DestinationRule
from mirror.rules.hosts import Hosts
from mirror.rules.routing import Routing
from mirror.store.snapshot import Snapshots
from mirror.store.store import Store
from mirror.web.admin_socket import NAME, open_socket
from mirror.web.administration import (
    Administration,
    BackupDesk,
    CollectionDesk,
    LifecycleDesk,
    PeopleDesk,
    ReplicationDesk,
    SecretDesk,
    SyncDesk,
)
from mirror.web.aws.bodies import Bodies
from mirror.web.aws.claim import Claim
from mirror.web.aws.iam import Iam
from mirror.web.aws.json11 import JsonApi
from mirror.web.aws.models import Models
from mirror.web.aws.query import QueryApi
from mirror.web.aws.reception import Found, Reception
from mirror.web.call_witness import CallWitness
from mirror.web.ecr.deletion import Deletion
from mirror.web.ecr.image_details import ImageDetails
from mirror.web.ecr.policies import Policies
from mirror.web.ecr.repositories import PrivateRepositories
from mirror.web.ecr.scope import registry_of
from mirror.web.ecr.shapes import Shapes
from mirror.web.ecr.subjects import Subjects
from mirror.web.server import Server
from mirror.web.slow import SlowClock

REGION = "us-east-1"
MODELS = Models.load()
BACKUP = DestinationRule("backup", "https://registry.example.org")  # nothing is sent there: no replicator runs


class NoKeys:
    """Nobody has a key: who needs no signature is not asked for one."""

    async def find(self, claim: Claim) -> Found:
        raise UnrecognizedClient


@dataclass
class Administered:
    """What is behind the socket at `path`."""

    path: Path
    store: Store
    identities: Identities
    secrets: Secrets


@asynccontextmanager
async def administered(root: Path) -> AsyncIterator[Administered]:
    """Open the store at `root` and listen on its administration socket."""
    async with opened(root) as store, AsyncExitStack() as stack:
        store.guard.serve_nobody()
        seals = await asyncio.to_thread(open_seals, root)
        identities = Identities(store.documents, seals, Passwords(2), HOME.account)
        house = Administered(root / NAME, store, identities, Secrets(store.documents, seals, REGION))
        audit = Audit(REGION)
        slow = SlowClock()
        bodies = Bodies(slow)
        reception = Reception(
            MODELS,
            {**Iam(identities).handlers(), **_ecr(store, identities)},
            NoKeys(),
            lambda _: None,
            CallWitness(audit, lambda _: ()),
            regions=(REGION,),
            bodies=bodies,
        )
        nothing: Any = None  # there is no rule and no policy that would need it
        syncs = Syncs(HOME, (), nothing, nothing, store.documents, nothing, nothing)
        asked = Administration(
            JsonApi(reception),
            QueryApi(reception),
            identities,
            (
                PeopleDesk(identities),
                SecretDesk(house.secrets),
                ReplicationDesk(store.replications, _backfills(store)),
                SyncDesk(syncs),
                LifecycleDesk(nothing, _repositories(store)),
                CollectionDesk(Collector(store.collection, store.files, store.space)),
                BackupDesk(Snapshots(root)),
            ),
            audit,
            bodies,
        )
        server = Server(asked.handle, express=None, slow=slow, connections_max=100)
        sock = await asyncio.to_thread(open_socket, house.path)
        listening = await asyncio.get_running_loop().create_unix_server(server, sock=sock)
        stack.push_async_callback(server.shutdown, 1.0)
        stack.callback(listening.close)
        yield house


def _backfills(store: Store) -> Backfills:
    routes = Routes(store.documents, Configurations(store.documents, REGION), [BACKUP], HOME)
    return Backfills(store.documents, store.replications, _repositories(store), store.images, routes, _no_work)


def _repositories(store: Store) -> Repositories:
    return Repositories(store.index, store.catalog, store.documents, Routing(HOME, ()))


def _no_work(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Nothing of what is asked of these nodes goes on behind the answer."""
    raise NotImplementedError(name)


def _ecr(store: Store, identities: Identities) -> Mapping[Any, Any]:
    routing = Routing(HOME, ())
    repositories = _repositories(store)
    subjects = Subjects(repositories, registry_of)
    shapes = Shapes(repositories, Hosts(HOME, REGION, "localhost"), REGION)
    authority = Authority(store.index, store.documents, identities, routing, region=REGION, anonymous=frozenset())
    return {
        **PrivateRepositories(subjects, repositories, routing, shapes).handlers(),
        **Policies(subjects, RepositoryPolicies(repositories, authority)).handlers(),
        **ImageDetails("ecr", subjects, store.index, store.images).handlers(),
        **Deletion("ecr", subjects, store.index, store.images).handlers(),
    }
