"""The authority: may this principal do this here? Policies from their places, the evaluator's answer, remembered.

Source: ECR.md 2.1 and 2.2. A decision about a warm pull is one look into a table; the table is dropped when the change
log says that a document or a repository is another one. `[access] anonymous` of the configuration opens the home
registry to everybody, but never what an upstream gave to this node's own credential.
"""

import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Protocol

from mirror.aws.arns import repository_arn
from mirror.aws.errors import AccessDenied
from mirror.aws.principals import Principal
from mirror.oci.names import Registry, Repository
from mirror.registry.account_settings import SCOPE, AccountSettings
from mirror.registry.parsed_policies import ParsedPolicies
from mirror.rules.access import Decision, Policy, Question, decide, refusal
from mirror.rules.access.actions import REGISTRY_V1_ACTIONS
from mirror.rules.repositories import RepositorySettings, read_settings
from mirror.rules.routing import Routing
from mirror.store.documents import Documents
from mirror.store.index import Index

REGISTRY_POLICY: Final = "registry.policy"  # the kind of document
DECISIONS_MAX: Final = 20_000  # some 10 MiB; emptied when full

_PULLS: Final = frozenset(
    {"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability", "ecr:ListImages"}
    | {"ecr:DescribeRepositories"}
)
_IMPORTS: Final = frozenset({"ecr:BatchImportUpstreamImage", "ecr:CreateRepository", "ecr:TagResource"})
_PUSHES: Final = frozenset(
    {"ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage"}
    | {"ecr:CreateRepository", "ecr:TagResource"}
)
_DELETES: Final = frozenset({"ecr:BatchDeleteImage"})
# By the setting's words: our own repositories; what an upstream gives to anybody; what it gave to our credential.
# Whoever may push is told that a cached repository takes no pushes.
_OWN: Final = {"pull": _PULLS, "push": _PUSHES, "delete": _DELETES}
_CACHED: Final = {"pull": _PULLS | _IMPORTS, "push": _PUSHES - _IMPORTS, "delete": _DELETES}
_PRIVATE: Final = {"push": _PUSHES - _IMPORTS, "delete": _DELETES}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a request says of itself, for conditions. `at` in unix seconds."""

    source_ip: str = ""
    user_agent: str = ""
    secure: bool = False
    at: float = 0.0


class Identities(Protocol):
    """What is asked of who knows the principals."""

    def identity_policies(self, principal: Principal) -> Sequence[Policy]:
        """Return the principal's own policies, as they are now."""
        ...


class Authority:
    """Decides for all registries of the node."""

    def __init__(
        self,
        index: Index,
        documents: Documents,
        identities: Identities,
        routing: Routing,
        *,
        region: str,
        anonymous: AbstractSet[str],
    ) -> None:
        self.region = region
        self._index = index
        self._documents = documents
        self._account_settings = AccountSettings(documents)
        self._identities = identities
        self._routing = routing
        self._anonymous = anonymous
        self._known: dict[tuple[Principal, str, Repository], Decision] = {}
        self._known_generation = -1
        self._policies = ParsedPolicies()

    @property
    def generation(self) -> int:
        """A number that grows whenever a decision might have become another one."""
        return self._documents.generation + self._index.claims + self._routing.generation

    # About a repository.

    def decide(self, principal: Principal, action: str, repository: Repository, now: Circumstances) -> Decision:
        """Decide, or remember what was decided."""
        if self._known_generation != self.generation or len(self._known) >= DECISIONS_MAX:
            self._known.clear()
            self._known_generation = self.generation
        key = principal, action, repository
        decision = self._known.get(key)
        if decision is None:
            decision = self._decide(principal, action, repository, now)
            if not decision.volatile:
                self._known[key] = decision
        return decision

    def check(self, principal: Principal, action: str, repository: Repository, now: Circumstances) -> None:
        """Raise AccessDenied, in ECR's words, unless `principal` may do `action` to `repository`."""
        decision = self.decide(principal, action, repository, now)
        if not decision.allowed:
            said = refusal(self._question(principal, action, repository, {}), decision)
            raise AccessDenied(said, explicit=decision.explicit)

    def settings(self, repository: Repository) -> RepositorySettings | None:
        """Return what a repository is set to, and decided by; None when it is not there."""
        found = self._index.settings(repository)
        return read_settings(found) if found is not None else None

    def decide_as(
        self,
        principal: Principal,
        action: str,
        repository: Repository,
        settings: RepositorySettings | None,
        now: Circumstances,
    ) -> Decision:
        """Decide by policies alone, as if `repository` were set so: what is open to everybody does not count."""
        question = self._question(principal, action, repository, self._context(settings, now))
        return self._put(question, repository.registry, settings)

    def _decide(self, principal: Principal, action: str, repository: Repository, now: Circumstances) -> Decision:
        decision = self.decide_as(principal, action, repository, self.settings(repository), now)
        if not decision.allowed and not decision.explicit and self._is_open(action, repository):
            return Decision(allowed=True, reason="", volatile=decision.volatile)
        return decision

    def _question(
        self, principal: Principal, action: str, repository: Repository, context: Mapping[str, Sequence[str]]
    ) -> Question:
        name = self._routing.address(repository)
        resource = repository_arn(repository.registry, self.region, name)
        return Question(principal, action, resource, repository.registry.account, context)

    # About anything that an ARN names.

    def check_arn(
        self,
        principal: Principal,
        action: str,
        registry: Registry,
        resource: str,
        now: Circumstances,
        *,
        repository: Repository | None = None,
        extra: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Raise AccessDenied unless `principal` may do `action` to `resource`; `extra` are the call's own conditions.

        For the APIs: `repository` is what `resource` names where it exists.
        """
        settings = self.settings(repository) if repository is not None else None
        context = {**self._context(settings, now), **(extra or {})}
        question = Question(principal, action, resource, registry.account, context)
        decision = self._put(question, registry, settings)
        if not decision.allowed:
            raise AccessDenied(refusal(question, decision), explicit=decision.explicit)

    def _put(self, question: Question, registry: Registry, settings: RepositorySettings | None) -> Decision:
        resource = [*self._registry_policies(registry, question.action)]
        if settings is not None and settings.policy:
            resource.append(
                self._policies.get(settings.policy, "public-repository" if registry.public else "repository")
            )
        identity = self._identities.identity_policies(question.principal)
        return decide(question, identity=identity, resource=resource)

    def _registry_policies(self, registry: Registry, action: str) -> Sequence[Policy]:
        text = self._documents.get(registry, REGISTRY_POLICY)
        if text is None:
            return ()
        if self._account_settings.get(registry, SCOPE) == "V1" and action not in REGISTRY_V1_ACTIONS:
            return ()
        return (self._policies.get(text.decode(), "registry-v2"),)

    def _context(self, settings: RepositorySettings | None, now: Circumstances) -> dict[str, Sequence[str]]:
        at = now.at or time.time()
        context: dict[str, Sequence[str]] = {
            "aws:securetransport": ("true" if now.secure else "false",),
            "aws:currenttime": (str(at),),
            "aws:epochtime": (str(at),),
            "aws:requestedregion": (self.region,),
        }
        if now.source_ip:
            context["aws:sourceip"] = (now.source_ip,)
        if now.user_agent:
            context["aws:useragent"] = (now.user_agent,)
        for key, value in (settings.tags if settings else {}).items():
            for prefix in ("aws", "ecr", "ecr-public"):
                context[f"{prefix}:resourcetag/{key.lower()}"] = (value,)
        return context

    # What the configuration opens to everybody.

    def _is_open(self, action: str, repository: Repository) -> bool:
        if repository.registry != self._routing.home:
            return False
        words = _OWN
        if not repository.owned:
            rule = self._routing.rule(repository)
            words = _CACHED if rule is not None and rule.is_public else _PRIVATE
        return any(action in actions and word in self._anonymous for word, actions in words.items())
