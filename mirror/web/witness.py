"""The witness: tells the audit what docker clients did, in the names of the ECR operations that each step stands for.

Source: ECR.md 6.2: docker actions appear as InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload, PutImage.
"""

from dataclasses import dataclass

from mirror import telemetry
from mirror.aws.arns import repository_arn
from mirror.aws.principals import ANONYMOUS, Principal
from mirror.oci.errors import Denied, RegistryError, Unauthorized
from mirror.oci.names import Registry
from mirror.oci.paths import Route
from mirror.registry.audit import Audit
from mirror.registry.authority import Circumstances
from mirror.rules.access.actions import READ_ONLY, Step, step_actions
from mirror.rules.hosts import Hosts
from mirror.rules.routing import Routing
from mirror.web.visit import Visit


@dataclass(frozen=True, slots=True)
class _Seen:
    """One request, as the record needs it."""

    action: str
    principal: Principal
    registry: Registry | None
    name: str
    route: Route
    now: Circumstances


class DockerWitness:
    """Sees each request of the docker protocol once it is over."""

    def __init__(self, audit: Audit, hosts: Hosts, routing: Routing) -> None:
        self._audit = audit
        self._hosts = hosts
        self._routing = routing

    def saw(self, visit: Visit, step: Step, error: RegistryError | None) -> None:
        """Record a step that changed something, or that was refused."""
        action = step_actions(step, public=visit.registry.public)[0]
        read_only = action in READ_ONLY
        if read_only and not isinstance(error, Denied | Unauthorized):
            return
        name = self._routing.address(visit.repository)
        seen = _Seen(action, visit.caller.principal, visit.registry, name, visit.route, visit.now)
        self._note(seen, error)

    def refused(self, route: Route, host: str, step: Step, now: Circumstances, error: RegistryError) -> None:
        """Record a request that was not let in. Who it was is not known, or not proved."""
        if not isinstance(error, Denied | Unauthorized):
            return
        place = self._hosts.place(host)
        registry = place.registry if place is not None else None
        action = step_actions(step, public=registry is None)[0]
        self._note(_Seen(action, ANONYMOUS, registry, route.name, route, now), error)

    def _note(self, seen: _Seen, error: RegistryError | None) -> None:
        service, _, event_name = seen.action.partition(":")
        registry, route = seen.registry, seen.route
        arn = [repository_arn(registry, self._hosts.region, seen.name)] if registry is not None and seen.name else []
        parameters = {"repositoryName": seen.name, "reference": str(route.reference), "uploadId": route.session}
        self._audit.note(
            event_name=event_name,
            principal=seen.principal,
            registry=registry,
            source_ip=seen.now.source_ip,
            user_agent=seen.now.user_agent,
            request_id=telemetry.request_id(),
            parameters={key: value for key, value in parameters.items() if value},
            error=error,
            resources=arn,
            read_only=seen.action in READ_ONLY,
            service=service,
        )
