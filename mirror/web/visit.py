"""A visit: one request as the door let it in, and the questions of the docker protocol that it may be."""

from dataclasses import dataclass
from typing import Final

from mirror.oci.names import Registry, Repository
from mirror.oci.paths import Route
from mirror.registry.authority import Circumstances
from mirror.registry.identities.callers import Caller
from mirror.rules.access.actions import Step
from mirror.rules.hosts import Place

# What a docker token must grant for a step (distribution "Token scope documentation").
SCOPE_ACTIONS: Final[dict[Step, str]] = {
    "get_manifest": "pull",
    "get_blob": "pull",
    "head_blob": "pull",
    "list_tags": "pull",
    "list_referrers": "pull",
    "mount_source": "pull",
    "start_upload": "push",
    "append_upload": "push",
    "finish_upload": "push",
    "put_manifest": "push",
    "delete_manifest": "delete",
}
WRITES: Final = frozenset({"start_upload", "append_upload", "finish_upload", "put_manifest", "delete_manifest"})


@dataclass(frozen=True, slots=True)
class Visit:
    """What is asked, of whom, by whom. `credential` is a Basic credential that only an upstream could know."""

    route: Route
    query: str
    place: Place
    repository: Repository
    caller: Caller
    now: Circumstances
    credential: str = ""
    origin: str = ""  # `account/region` of the registry that replicates here, "" of an ordinary client
    shared: bool = False  # may caches on the way keep the answer: it is for everybody, whatever the request says

    @property
    def registry(self) -> Registry:
        return self.repository.registry

    @property
    def is_anonymous(self) -> bool:
        return self.caller.principal.kind == "anonymous"
