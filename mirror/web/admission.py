"""Admission: which registry is asked, who asks, and may they. Every request of the docker protocol comes through here.

Source: ECR.md 2.1, "Action map", and 3.3. Access is decided before existence is told. A caller without credentials is
asked for some (401), one with credentials is told no (403), in ECR's words.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from mirror import telemetry
from mirror.aws.errors import AccessDenied, RepositoryNotFound
from mirror.oci.errors import Denied, ManifestUnknown, NameUnknown, Unauthorized
from mirror.oci.names import Registry, Repository
from mirror.oci.paths import Route
from mirror.registry.authority import Authority, Circumstances
from mirror.registry.identities.callers import Caller
from mirror.registry.upstream_rights import UpstreamRights
from mirror.rules.access.actions import CREATE_ACTION, IMPORT_ACTION, Step, step_actions
from mirror.rules.hosts import Hosts, Place
from mirror.rules.routing import Routing
from mirror.store.index import Index
from mirror.web.callers import NOBODY, Callers
from mirror.web.challenges import Challenges
from mirror.web.gate import read_query
from mirror.web.visit import SCOPE_ACTIONS, WRITES, Visit

# A step that may be done by whoever may do any of these: who may read a blob may ask how long it is.
_ANY_OF: Final = frozenset({"head_blob"})

# What a docker token's action stands for.
_STEPS_OF: Final[Mapping[str, tuple[Step, ...]]] = {
    "pull": ("get_manifest", "get_blob"),
    "push": ("start_upload", "append_upload", "finish_upload", "put_manifest"),
    "delete": ("delete_manifest",),
}

FindPublic = Callable[[str], Registry | None]  # the public registry that an alias or an account names


class Admission:
    """Lets requests in."""

    def __init__(
        self,
        *,
        hosts: Hosts,
        routing: Routing,
        index: Index,
        authority: Authority,
        callers: Callers,
        challenges: Challenges,
        rights: UpstreamRights,
        find_public: FindPublic,
    ) -> None:
        self.hosts = hosts
        self._routing = routing
        self._index = index
        self._authority = authority
        self._callers = callers
        self._challenges = challenges
        self._rights = rights
        self._find_public = find_public

    @property
    def generation(self) -> int:
        """Grows whenever an answer of `admit` might have become another one."""
        return self._authority.generation

    def place(self, host: str) -> Place:
        """Say which registry a Host header means. Raises NameUnknown."""
        place = self.hosts.place(host)
        if place is None:
            raise NameUnknown(f"Could not resolve registry id from host {host[:260]}")
        return place

    async def admit(
        self, host: str, credential: str, route: Route, query: str, step: Step, now: Circumstances
    ) -> Visit:
        """Let a request in. Raises Unauthorized, Denied, NameUnknown; ManifestUnknown where it may not be fetched."""
        place = self.place(host)
        caller, unknown = await self._caller(place, credential, now.at)
        visit = self._visit(place, caller, route, query, step, now, unknown)
        try:
            self._check(visit, step)
        except AccessDenied as refusal:
            # What the operator denies, no upstream lets in.
            if refusal.explicit or not await self._upstream_admits(visit, step):
                raise self._refused(visit, step, refusal) from None
            return visit
        return replace(visit, shared=visit.is_anonymous and not self._is_volatile(visit, step))

    def admit_now(self, host: str, credential: str, route: Route, query: str, step: Step) -> Visit | None:
        """Let in what is decided once and for all, for the lane that asks nobody; None for anything else."""
        place = self.hosts.place(host)
        now = Circumstances(at=time.time())
        if place is None:
            return None
        try:
            caller = self._callers.read_now(credential, place, now.at)
            if caller is None or caller.scopes is not None:
                return None
            visit = self._visit(place, caller, route, query, step, now, "")
        except (Unauthorized, Denied, NameUnknown, ManifestUnknown):
            return None
        actions = step_actions(step, public=visit.registry.public)
        decisions = [self._authority.decide(caller.principal, one, visit.repository, now) for one in actions]
        if not all(one.allowed and not one.volatile for one in decisions):
            return None
        return replace(visit, shared=visit.is_anonymous)

    async def enter(self, host: str, credential: str, now: Circumstances) -> tuple[Place, Caller]:
        """Let in a request for no repository: `/v2/` and the catalogue. Raises Unauthorized, Denied, NameUnknown.

        The challenge is here, since clients look for it at `/v2/` only (CLIENTS section 2). A credential that only an
        upstream knows is let by: it is judged where there is something to pull.
        """
        place = self.place(host)
        try:
            caller = await self._callers.read(credential, place, now.at)
        except Unauthorized as refusal:
            # Whoever's name it is: that one is let by and the other is not would tell which names are here.
            if self._asks_upstreams(place) and self._callers.may_be_foreign(credential):
                return place, NOBODY
            raise self._challenges.refusal(place, refusal.message) from None
        if place.login != "auto" and caller is NOBODY:
            raise self._challenges.refusal(place, "authentication is required")
        return place, caller

    def _asks_upstreams(self, place: Place) -> bool:
        return place.registry is not None and self._rights.asked(place.registry)

    def check_listing(self, visit: Visit) -> None:
        """Raise Unauthorized for nobody in particular where a registry shows nobody what it has."""
        if visit.is_anonymous and not self.may(visit, "list_repositories", visit.repository):
            raise self._challenges.refusal(visit.place, "listing the repositories takes a login")

    def may(self, visit: Visit, step: Step, repository: Repository) -> bool:
        """Tell whether the visitor may do a step to another repository: a mount's source, an entry of a list."""
        try:
            self._check_step(visit, step, repository)
        except (AccessDenied, Unauthorized):
            return False
        return True

    def granted(
        self, place: Place, caller: Caller, name: str, actions: Iterable[str], now: Circumstances
    ) -> tuple[str, ...]:
        """Return those of `actions` (pull, push, delete; * is all) that policies allow. Raises NameUnknown."""
        asked = set(actions)
        wanted = [action for action in _STEPS_OF if action in asked or "*" in asked]
        route = Route("manifest", name)
        found = []
        for action in wanted:
            visits = [(step, self._visit(place, caller, route, "", step, now, "")) for step in _STEPS_OF[action]]
            if all(self.may(visit, step, visit.repository) for step, visit in visits):
                found.append(action)
        return tuple(found)

    def may_create(self, visit: Visit, repository: Repository) -> bool:
        action = CREATE_ACTION.replace("ecr:", "ecr-public:") if repository.registry.public else CREATE_ACTION
        return self._authority.decide(visit.caller.principal, action, repository, visit.now).allowed

    async def _caller(self, place: Place, credential: str, now: float) -> tuple[Caller, str]:
        """Return who asks, and the credential where only an upstream can know it."""
        try:
            return await self._callers.read(credential, place, now), ""
        except Unauthorized as refusal:
            if self._asks_upstreams(place) and self._callers.is_foreign(credential):
                return NOBODY, credential
            raise self._challenges.refusal(place, refusal.message) from None

    def _visit(
        self, place: Place, caller: Caller, route: Route, query: str, step: Step, now: Circumstances, unknown: str
    ) -> Visit:
        registry, name = self._registry(place, route.name)
        ns = None if place.public or not query else read_query(query).get("ns")
        if step in WRITES:
            repository = self._routing.push_target(registry, name, ns)
        else:
            repository = self._routing.route(registry, name, ns, self._index.owned)
        return Visit(route, query, place, repository, caller, now, unknown)

    def _registry(self, place: Place, name: str) -> tuple[Registry, str]:
        """Return the registry that is meant and the repository's name in it: a public name begins with an alias."""
        if place.registry is not None:
            return place.registry, name
        alias, _, rest = name.partition("/")
        registry = self._find_public(alias)
        if registry is None or not rest:
            raise NameUnknown(f"The repository with name '{name}' does not exist in the public registries")
        return registry, rest

    def _check(self, visit: Visit, step: Step) -> None:
        self._check_step(visit, step, visit.repository)
        if step in ("get_manifest", "get_blob", "head_blob") and not visit.repository.owned:
            self._check_import(visit)

    def _check_step(self, visit: Visit, step: Step, repository: Repository) -> None:
        """Raise AccessDenied unless policies, and the token's own scopes, allow a step."""
        self._check_scopes(visit, step, repository)
        principal = visit.caller.principal
        actions = step_actions(step, public=repository.registry.public)
        if step in _ANY_OF:
            others = step_actions("get_blob", public=repository.registry.public)
            if all(self._authority.decide(principal, one, repository, visit.now).allowed for one in others):
                return
        for action in actions:
            self._authority.check(principal, action, repository, visit.now)

    def _is_volatile(self, visit: Visit, step: Step) -> bool:
        """Tell whether the same caller might be refused the same thing, asking from elsewhere or at another time."""
        actions = step_actions("get_blob" if step in _ANY_OF else step, public=visit.registry.public)
        decide = self._authority.decide
        return any(decide(visit.caller.principal, one, visit.repository, visit.now).volatile for one in actions)

    def _check_scopes(self, visit: Visit, step: Step, repository: Repository) -> None:
        scopes, wanted = visit.caller.scopes, SCOPE_ACTIONS.get(step)
        if scopes is None or wanted is None:
            return
        name = visit.route.name if repository == visit.repository else self._routing.address(repository)
        if not any(one.type == "repository" and one.name == name and wanted in one.actions for one in scopes):
            raise self._challenges.refusal(visit.place, f"the token does not grant {wanted}", visit.route, step)

    def _check_import(self, visit: Visit) -> None:
        """Refuse what would have to be fetched for somebody who may not have things fetched (ECR.md 2.5, step 3)."""
        repository, reference = visit.repository, visit.route.reference
        if isinstance(reference, str):
            known = self._index.tag(repository, reference) is not None
        else:
            known = self._index.member(repository, reference) is not None
        if known:
            return
        principal = visit.caller.principal
        if not self._authority.decide(principal, IMPORT_ACTION, repository, visit.now).allowed:
            raise self._missing(visit, ManifestUnknown("Requested image not found"), IMPORT_ACTION)
        if self._index.settings(repository) is None and not self.may_create(visit, repository):
            name = self._routing.address(repository)
            raise self._missing(visit, RepositoryNotFound(name, repository.registry), CREATE_ACTION)

    def _missing(self, visit: Visit, error: ManifestUnknown | NameUnknown, action: str) -> Exception:
        """A caller without credentials is asked for some before it is told that there is nothing."""
        if visit.is_anonymous:
            return AccessDenied(f"{action} is not allowed to anonymous callers")
        # ECR's answer does not say what is missing, so the log does.
        who, what = visit.caller.principal.arn, self._routing.address(visit.repository)
        telemetry.log.info("not fetched for want of a right", action=action, principal=who, repository=what)
        return error

    async def _upstream_admits(self, visit: Visit, step: Step) -> bool:
        rule = self._routing.rule(visit.repository)
        if rule is None or rule.authorize != "upstream" or not visit.credential or step in WRITES:
            return False
        return await self._rights.admit(visit.repository, visit.credential, visit.route.reference)

    def _refused(self, visit: Visit, step: Step, refusal: AccessDenied) -> Exception:
        if visit.is_anonymous:
            return self._challenges.refusal(visit.place, refusal.message, visit.route, step)
        return refusal
