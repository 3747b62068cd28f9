"""The control plane: the operations of the AWS APIs over the registry floor, and who is let near them."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from mirror.node.assembly import House
from mirror.registry.checkups import Checkups
from mirror.registry.gallery import Gallery
from mirror.registry.syncing import Syncs
from mirror.store.snapshot import Snapshots
from mirror.web.administration import (
    Administration,
    BackupDesk,
    CheckupDesk,
    CollectionDesk,
    Desk,
    LifecycleDesk,
    PeopleDesk,
    ReplicationDesk,
    SecretDesk,
    SyncDesk,
    ViewDesk,
)
from mirror.web.app import Page
from mirror.web.aws.bodies import Bodies
from mirror.web.aws.call import Handler, Service
from mirror.web.aws.claim import Claim
from mirror.web.aws.front import AwsFront
from mirror.web.aws.iam import Iam
from mirror.web.aws.json11 import JsonApi
from mirror.web.aws.models import Models
from mirror.web.aws.query import QueryApi
from mirror.web.aws.reception import Found, Reception
from mirror.web.aws.sts import Sts
from mirror.web.call_witness import CallWitness
from mirror.web.ecr.authorization import Authorizer
from mirror.web.ecr.contents import Registries
from mirror.web.ecr.control import control_over
from mirror.web.ecr.downloads import PATH as LAYERS
from mirror.web.ecr.table import ecr_table
from mirror.web.ecr_public.catalog_data import Logos
from mirror.web.ecr_public.scope import registries_of
from mirror.web.ecr_public.shapes import LOGOS
from mirror.web.slow import SlowClock


@dataclass(frozen=True, slots=True)
class Control:
    """What answers at the door for the control plane: pages by whole path and by beginning, and the node's socket."""

    whole: Mapping[str, Page]
    below: Mapping[str, Page]
    administration: Administration


@cache
def _models() -> Models:
    """Load botocore's models, which never change, once a process. Blocks for some 150 ms."""
    return Models.load()


async def build_control(house: House, syncs: Syncs, slow: SlowClock, view: ViewDesk) -> Control:
    """Build the operations, what authorizes them, and what reads and writes them."""
    identities = house.known.identities
    iam, sts = Iam(identities), Sts(identities)
    authorizer = Authorizer(house.authority, house.repositories, registries_of(house.public), iam, sts)
    registries = _registries(house)
    gallery = Gallery(house.store.catalog, house.store.documents)
    bodies = Bodies(slow)
    reception = Reception(
        await asyncio.to_thread(_models),
        _handlers(house, registries, gallery, iam, sts),
        _Keys(house),
        authorizer,
        CallWitness(house.audit, authorizer.resources),
        regions=(house.settings.registry.region,),
        bodies=bodies,
    )
    json, query = JsonApi(reception), QueryApi(reception)
    return Control(
        whole={"/": AwsFront(json, query).handle},
        below={
            LAYERS: registries.downloads().get,
            LOGOS: Logos(house.repositories, gallery).get,
        },
        administration=Administration(
            json,
            query,
            identities,
            (*_desks(house, syncs), view),
            house.audit,
            bodies,
        ),
    )


def _desks(house: House, syncs: Syncs) -> Sequence[Desk]:
    """Build what the machine's operator is answered by."""
    return (
        PeopleDesk(house.known.identities),
        SecretDesk(house.secrets),
        ReplicationDesk(house.store.replications, house.backfills),
        SyncDesk(syncs),
        LifecycleDesk(house.expiry, house.repositories),
        CollectionDesk(house.collector),
        BackupDesk(Snapshots(house.settings.storage.root)),
        CheckupDesk(Checkups(house.store, house.healing, house.tasks.spawn)),
    )


def _registries(house: House) -> Registries:
    store, known = house.store, house.known
    return Registries(
        index=store.index,
        catalog=store.catalog,
        images=store.images,
        replications=store.replications,
        backfills=house.backfills,
        repositories=house.repositories,
        routing=house.routing,
        authority=house.authority,
        push=house.push,
        manifests=house.manifests,
        pull_times=house.pull_times,
        blobs=house.blobs,
        discovery=house.discovery,
        lifecycles=house.lifecycles,
        hosts=house.hosts,
        identities=known.identities,
        tokens=known.tokens,
    )


def _handlers(
    house: House, registries: Registries, gallery: Gallery, iam: Iam, sts: Sts
) -> Mapping[tuple[Service, str], Handler]:
    documents, region = house.store.documents, house.settings.registry.region
    plane = control_over(registries, documents, house.pull_through, region)
    return {**ecr_table(registries, plane, house.public, gallery), **iam.handlers(), **sts.handlers()}


class _Keys:
    """Finds who has an access key."""

    def __init__(self, house: House) -> None:
        self._identities = house.known.identities

    async def find(self, claim: Claim) -> Found:
        """Find the key that a claim names. Raises UnrecognizedClient, ExpiredToken."""
        return Found(*self._identities.find_key(claim.key_id, claim.token or None, time.time()))
