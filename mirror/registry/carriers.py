"""Carriers: what carries an image to the place where an order wants it.

Source: ECR guide, "Private image replication"; ECR.md 2.4. A place may be a registry of another account on this very
node: its bytes are here, so only names are written. Children go before parents, and what is there already is not sent.
"""

import time
from collections.abc import Callable
from typing import Protocol

from mirror.aws.errors import AccessDenied
from mirror.aws.principals import root_of
from mirror.oci.digest import Digest
from mirror.oci.errors import RegistryError
from mirror.oci.names import Registry, Repository
from mirror.registry.authority import Circumstances
from mirror.registry.manifests import NESTING_MAX, Manifests, read_manifest
from mirror.registry.replicas import Replicas
from mirror.store.replications import Order, Place


class Gone(Exception):
    """What was to be carried is not at the source any more."""


class Refused(Exception):
    """A place says no to an order as it is. `failure` is a word for machines, the text for people."""

    def __init__(self, failure: str, reason: str) -> None:
        super().__init__(reason)
        self.failure = failure
        self.reason = reason


class Trouble(Exception):
    """A place cannot be asked now: nothing is wrong with the order."""


class Carrier(Protocol):
    """Carries out orders for one place. Raises Gone, Refused, Trouble."""

    async def carry_out(self, order: Order) -> None: ...


class Nowhere:
    """Carries nothing: this node does not know the way to the place."""

    def __init__(self, failure: str, reason: str) -> None:
        self._failure = failure
        self._reason = reason

    async def carry_out(self, order: Order) -> None:  # noqa: ARG002 - as every carrier
        """Refuse. Raises Refused."""
        raise Refused(self._failure, self._reason)


class HomeCarrier:
    """Carries images to the registry of another account on this node."""

    def __init__(self, place: Place, manifests: Manifests, replicas: Replicas, exists: Callable[[str], bool]) -> None:
        """`exists` tells whether this node knows an account."""
        self._exists = exists
        self._place = place
        self._manifests = manifests
        self._replicas = replicas

    async def carry_out(self, order: Order) -> None:
        """Do what an order says. Raises Gone, Refused."""
        source = order.repository
        if not self._exists(self._place.account):
            raise Refused("RegistryNotFound", f"this node has no account {self._place.account}")
        target = Repository(Registry(self._place.account), "", source.name)
        try:
            check = self._replicas.check if order.action == "PUT" else self._replicas.check_deletion
            check(root_of(source.registry.account), target, Circumstances(at=time.time()))
            if order.action == "PUT":
                assert order.digest is not None
                await self._put(source, target, order.digest, order.tag, NESTING_MAX)
            elif order.action == "UNTAG":
                await self._replicas.untag(target, order.tag)
            elif order.digest is not None:
                await self._replicas.delete(target, order.digest)
        except AccessDenied as denial:
            raise Refused("AccessDenied", denial.message) from None
        except RegistryError as error:
            raise Refused(error.aws.removesuffix("Exception"), error.message) from None

    async def _put(self, source: Repository, target: Repository, digest: Digest, tag: str, depth: int) -> None:
        if self._replicas.has(target, digest) and (not tag or self._replicas.digest(target, tag) == digest):
            return
        found = await self._manifests.read(source, digest)
        if found is None:
            raise Gone
        member, data = found
        manifest = await read_manifest(data, member.media_type)
        for child in manifest.manifests:
            if depth:
                await self._put(source, target, child.digest, "", depth - 1)
        origin = f"{source.registry.account}/{self._replicas.region}"
        await self._replicas.put(target, digest, data, manifest, tag, origin)


CarrierOf = Callable[[Place, str], Carrier]  # to a place, for an account whose images go there
