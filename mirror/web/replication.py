"""Replication by another node of ours: what it says in its header, and what it may do here.

Source: ECR.md 2.4; `upstream/peer.py` is the other side. It is the docker protocol, decided by one right: all that such
a request may do is to bring an image, and to ask whether it is here; it reads nothing. Deletions take their own right.
So does a node that has lost bytes and asks for them: the rights of a pull.
"""

from dataclasses import dataclass, replace
from typing import Final

from mirror.oci.digest import Digest
from mirror.oci.errors import Denied, RequestInvalid
from mirror.oci.names import Registry, Repository
from mirror.oci.paths import Route
from mirror.registry.authority import Circumstances
from mirror.registry.replicas import Replicas
from mirror.rules.access.actions import Step
from mirror.rules.replication import HEADER, read_said
from mirror.web.admission import Admission
from mirror.web.visit import WRITES, Visit

_ASKS: Final = frozenset({"get_manifest", "head_blob"})
_READS: Final = frozenset({"get_manifest", "get_blob"})


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of another node, as admission needs it."""

    host: str
    credential: str
    route: Route
    query: str
    now: Circumstances


class Replication:
    """Lets nodes in that replicate."""

    def __init__(self, admission: Admission, replicas: Replicas) -> None:
        self._admission = admission
        self._replicas = replicas

    async def admit(self, asked: Asked, header: str, step: Step, method: str) -> Visit:
        """Let a request in whose header says that it replicates. Raises Unauthorized, Denied, RequestInvalid."""
        said = read_said(header)
        if said is None:
            raise RequestInvalid(f"{HEADER} is `<account>; from=<region>`")
        is_read = step in _READS and method == "GET"
        if step not in WRITES and not is_read and not (step in _ASKS and method == "HEAD"):
            raise Denied("a replication brings images, and reads none but what was lost")
        if step == "put_manifest" and not isinstance(asked.route.reference, Digest):
            raise RequestInvalid("a replication puts a manifest by its digest, and names a tag in the query")
        place, caller = await self._admission.enter(asked.host, asked.credential, asked.now)
        if place.public or caller.principal.kind == "anonymous" or caller.scopes is not None:
            raise Denied("a replication is into a private registry, and takes an authorization token")
        account, region = said
        registry = Registry(account)
        repository = Repository(registry, "", asked.route.name)
        if is_read:
            self._replicas.check_reading(caller.principal, repository, asked.now)
        else:
            check = self._replicas.check_deletion if step == "delete_manifest" else self._replicas.check
            check(caller.principal, repository, asked.now)
        origin = f"{caller.principal.account}/{region}"
        place = replace(place, registry=registry)
        return Visit(asked.route, asked.query, place, repository, caller, asked.now, origin=origin)
