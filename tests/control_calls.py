"""The handlers of all of ECR and ECR Public over a whole registry floor, and the rules that say who may call them.

async with control_calls(tmp_path) as ecr:
    answer = await ecr("CreateRepository", repositoryName="app")      # as `EcrCalls`
    ecr.authorize("DeleteRepository", somebody, repositoryName="app")  # raises AccessDenied
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from ecr_calls import MODELS, EcrCalls, ecr_calls

from mirror.aws.principals import Principal
from mirror.node.assembly import House
from mirror.oci.names import Registry
from mirror.registry.pullthrough import PullThrough
from mirror.registry.secrets import Secrets
from mirror.rules.routing import UpstreamRule
from mirror.upstream.addresses import FORBIDDEN
from mirror.upstream.client import Upstream
from mirror.upstream.limits import Limits
from mirror.web.aws.call import Call, Service
from mirror.web.aws.iam import Iam
from mirror.web.aws.json11 import drop_absent
from mirror.web.aws.sts import Sts
from mirror.web.ecr.authorization import Authorizer
from mirror.web.ecr.control import control_over
from mirror.web.ecr.table import ecr_table
from mirror.web.ecr_public.scope import registries_of

REGION = "us-east-1"
CLOCKS = Limits(connect_s=0.5, headers_s=2.0)
NOWHERE = "127.0.0.9"  # stands for the addresses that nobody is sent to


class ControlCalls(EcrCalls):
    """Calls every operation."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        documents, region = self.store.documents, house.settings.registry.region
        self.secrets = Secrets(documents, house.known.seals, region)
        # What is asked for at runtime needs the secrets, which the floor below is built without.
        self.upstreams = house.upstreams
        self.upstreams._make = self._upstream
        self.rules = self._rules(house.settings.upstreams)
        self.control = control_over(self.registries, documents, self.rules, region)
        self.handlers = dict(ecr_table(self.registries, self.control, self.public, self.gallery))
        identities = house.known.identities
        self.authorizer = Authorizer(
            house.authority, house.repositories, registries_of(self.public), Iam(identities), Sts(identities)
        )

    def authorize(self, operation: str, principal: Principal, service: Service = "ecr", **values: Any) -> None:
        """Ask whether `principal` may call an operation. Raises AccessDenied."""
        self.authorizer(self.call(operation, principal, service, **values))

    def call(self, operation: str, principal: Principal, service: Service = "ecr", **values: Any) -> Call:
        model = MODELS.find(service, operation)
        assert model is not None
        given = model.input.read(drop_absent(values))
        return Call(service, operation, principal, given, "request", "192.0.2.1", "tests", False, REGION)

    def _rules(self, configured: Iterable[UpstreamRule]) -> PullThrough:
        return PullThrough(
            self.store.documents,
            self.house.routing,
            self.upstreams,
            self.store.catalog,
            self.store.index,
            self.secrets,
            tuple(configured),
            region=self.house.settings.registry.region,
        )

    def _upstream(self, registry: Registry, rule: UpstreamRule) -> Upstream:
        asked_for = rule not in self.house.settings.upstreams
        login, forbidden = self.secrets.login(registry, rule), (*FORBIDDEN, ip_network(NOWHERE))
        return Upstream(rule, clocks=CLOCKS, credential=login, asked_for=asked_for, forbidden=forbidden)


@asynccontextmanager
async def control_calls(root: Path, *, upstreams: Iterable[UpstreamRule] = ()) -> AsyncIterator[ControlCalls]:
    """Open a store at `root` and build on it, with the operator's `upstreams`."""
    async with ecr_calls(root, upstreams=upstreams) as below:
        calls = ControlCalls(below.house)
        await calls.rules.apply()
        yield calls
