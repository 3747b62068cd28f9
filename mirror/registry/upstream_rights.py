"""Upstream rights: whom an upstream itself lets in to what this node keeps of it, `authorize = "upstream"`.

Source: FIELD pain 14 ("private images leak from the cache"): a hit is served only if this caller may pull it upstream.
The caller's credential is shown to that upstream only, kept as a keyed hash, and its answer believed for a minute.
"""

import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown, ManifestUnknown, NameUnknown, UpstreamDenied
from mirror.oci.names import Reference, Registry, Repository
from mirror.registry.flights import Flights
from mirror.registry.identities.basic import read_basic
from mirror.rules.freshness import Need
from mirror.rules.routing import Routing, UpstreamRule
from mirror.upstream.client import Upstream

BELIEVED_S: Final = 60.0  # a right that upstream takes away is gone here within this time
REFUSED_S: Final = 10.0  # a wrong password that is corrected must not wait long
ANSWERS_MAX: Final = 10_000

Connect = Callable[[UpstreamRule, tuple[str, str]], Upstream]


class UpstreamRights:
    """The answers of upstreams about their callers, for a short time."""

    def __init__(self, routing: Routing, connect: Connect, flights: Flights) -> None:
        """`connect` makes a client of an upstream that shows a given user and password."""
        self._routing = routing
        self._connect = connect
        self._flights = flights
        self._key = os.urandom(32)
        self._answers: OrderedDict[tuple[bytes, Repository], tuple[bool, float]] = OrderedDict()

    def asked(self, registry: Registry) -> bool:
        """Tell whether any upstream of a registry is asked about callers."""
        return any(rule.authorize == "upstream" for rule in self._routing.rules(registry))

    async def admit(self, repository: Repository, credential: str, reference: Reference) -> bool:
        """Tell whether upstream lets the bearer of a Basic `credential` read `repository`. Raises UpstreamError."""
        key = hashlib.blake2b(credential.encode(), key=self._key, digest_size=32).digest(), repository
        known = self._answers.get(key)
        if known is None or known[1] <= time.monotonic():
            admits = await self._flights.join(("rights", *key), lambda: self._ask(repository, credential, reference))
            self._remember(key, admits)
            return admits
        return known[0]

    async def _ask(self, repository: Repository, credential: str, reference: Reference) -> bool:
        rule = self._routing.rule(repository)
        if rule is None:
            return False
        upstream = self._connect(rule, read_basic(credential.partition(" ")[2]))
        name = rule.upstream_name(repository.name)
        try:
            await self._read(upstream, name, reference)
        except (UpstreamDenied, ManifestUnknown, BlobUnknown, NameUnknown):
            return False
        finally:
            await upstream.close()
        return True

    async def _read(self, upstream: Upstream, name: str, reference: Reference) -> None:
        """Ask for the least that only a reader is told: of what is not there, the tags that are."""
        try:
            if isinstance(reference, Digest):
                await self._find(upstream, name, reference)
                return
            if reference:
                await upstream.head_manifest(name, reference, Need.TAG)
                return
        except (ManifestUnknown, BlobUnknown):
            pass  # a tag that is not there says nothing about the repository
        await upstream.tags(name, Need.TAG)

    async def _find(self, upstream: Upstream, name: str, digest: Digest) -> None:
        try:
            await upstream.head_manifest(name, digest, Need.TAG)
        except ManifestUnknown:
            await upstream.head_blob(name, digest, Need.TAG)

    def _remember(self, key: tuple[bytes, Repository], admits: bool) -> None:
        self._answers[key] = admits, time.monotonic() + (BELIEVED_S if admits else REFUSED_S)
        self._answers.move_to_end(key)
        if len(self._answers) > ANSWERS_MAX:
            self._answers.popitem(last=False)
