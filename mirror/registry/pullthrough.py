"""Pull-through cache rules: those of the operator's file, and those that the API makes while the node runs.

Source: ECR guide, "Sync an upstream registry with an Amazon ECR private registry"; ECR.md 2.5. The file's rules are the
home registry's, and only the file changes them. A change of rules changes which repository a name means: each one that
is there keeps its name, so it is renamed in the store before the rules are others. A crash between the two is mended by
asking for the same again.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace as replaced
from typing import Final

import msgspec
from msgspec.structs import replace

from mirror import telemetry
from mirror.aws.errors import (
    LimitExceeded,
    PullThroughCacheRuleAlreadyExists,
    PullThroughCacheRuleNotFound,
    UnsupportedUpstreamRegistry,
    ValidationFailed,
)
from mirror.oci.errors import NameUnknown, RegistryError, UpstreamError
from mirror.oci.names import Registry, Repository
from mirror.registry.secrets import Secrets
from mirror.registry.upstreams import Upstreams
from mirror.rules.freshness import Need
from mirror.rules.pullthrough import ROOT, RULES_MAX, PullThroughRule, check_rule, read_upstream
from mirror.rules.routing import Routing, UpstreamRule
from mirror.store.catalog import Catalog
from mirror.store.documents import Documents, Edit
from mirror.store.index import Index

PULL_THROUGH: Final = "pullthrough"  # the kind of document; its name is the prefix
TAG_FRESH_S: Final = 86_400.0  # ECR.md 2.5: a tag that was validated within 24 hours is served without a question
PAGE: Final = 1_000  # repositories looked at in one read

Rules = Mapping[Registry, Sequence[UpstreamRule]]


class PullThrough:
    """The rules of all registries. `configured` are the file's, in force since `started_at` (unix seconds)."""

    def __init__(
        self,
        documents: Documents,
        routing: Routing,
        upstreams: Upstreams,
        catalog: Catalog,
        index: Index,
        secrets: Secrets,
        configured: Sequence[UpstreamRule],
        *,
        region: str,
    ) -> None:
        self._documents = documents
        self._routing = routing
        self._upstreams = upstreams
        self._catalog = catalog
        self._index = index
        self._secrets = secrets
        self._configured = tuple(configured)
        self._region = region
        self._started_at = time.time()
        self._changing = asyncio.Lock()

    async def apply(self) -> None:
        """Bring the rules that are kept into force: at the start, and after each change."""
        made = self._made()
        home = self._routing.home
        self._routing.replace(made)
        await self._upstreams.replace({**made, home: (*self._configured, *made.get(home, ()))})

    # Reads.

    def all(self, registry: Registry) -> list[PullThroughRule]:
        """List the rules of a registry, by prefix."""
        kept = [_read(body) for _, body in self._documents.list(registry, PULL_THROUGH)]
        return sorted((*self._of_the_file(registry), *kept), key=lambda rule: rule.prefix)

    def get(self, registry: Registry, prefix: str) -> PullThroughRule:
        """Return the rule of a prefix. Raises PullThroughCacheRuleNotFound."""
        found = next((rule for rule in self.all(registry) if _key(rule.prefix) == _key(prefix)), None)
        if found is None:
            raise PullThroughCacheRuleNotFound(
                f"The pull through cache rule with prefix '{prefix}' does not exist in the registry with id "
                f"'{registry.account}'"
            )
        return found

    async def fault(self, registry: Registry, prefix: str) -> str:
        """Ask the upstream of a rule; say what keeps it from being used, "" where nothing does."""
        name = self._upstream_name(registry, self.get(registry, prefix))
        try:
            upstream = self._upstreams.source(Repository(registry, name, "any")).upstream
            await (upstream.log_in(Need.TAG) if upstream.rule.has_credential else upstream.ping(Need.TAG))
        except (UpstreamError, NameUnknown) as error:
            return error.message
        return ""

    # Changes.

    async def create(self, registry: Registry, rule: PullThroughRule) -> PullThroughRule:
        """Make a rule; return it, its kind of upstream filled in. Raises what ECR does."""
        async with self._changing:
            self._check_new(registry, rule)
            check_rule(rule, self._region, registry.account)
            self._check_secret(registry, rule)
            kind = read_upstream(rule.upstream_url, rule.upstream_registry).registry
            rule = replace(rule, upstream_registry=kind)
            await self._change(registry, _key(rule.prefix), rule)
        return rule

    async def update(
        self, registry: Registry, prefix: str, credential_arn: str | None, custom_role_arn: str | None
    ) -> PullThroughRule:
        """Change the secret or the role of a rule, where one is given. Raises ValidationFailed for the file's."""
        async with self._changing:
            rule = self._changeable(registry, prefix)
            credential = rule.credential_arn if credential_arn is None else credential_arn
            role = rule.custom_role_arn if custom_role_arn is None else custom_role_arn
            rule = replace(rule, credential_arn=credential, custom_role_arn=role, updated_at=time.time())
            check_rule(rule, self._region, registry.account)
            self._check_secret(registry, rule)
            await self._change(registry, _key(prefix), rule)
        return rule

    async def delete(self, registry: Registry, prefix: str) -> PullThroughRule:
        """Delete a rule. What it has cached stays, in repositories of the registry's own."""
        async with self._changing:
            rule = self._changeable(registry, prefix)
            await self._change(registry, _key(prefix), None)
        return rule

    async def _change(self, registry: Registry, key: str, rule: PullThroughRule | None) -> None:
        """Keep, or with None forget, a rule, and bring it into force."""
        before = self._made()
        others = [one for one in before.get(registry, ()) if one.name != key]
        after = {**before, registry: (*others, *([_upstream_rule(rule)] if rule else []))}
        await self._settle(registry, before, after)
        body = msgspec.json.encode(rule) if rule else None
        await self._documents.write([Edit(registry, PULL_THROUGH, key, body)])
        await self.apply()
        # Once more, for what a pull has made meanwhile.
        await self._settle(registry, before, after)

    # Repositories keep their names.

    async def _settle(self, registry: Registry, before: Rules, after: Rules) -> None:
        """Rename what means another repository by the rules `after` than by those `before`."""
        old, new = self._routing_of(before), self._routing_of(after)
        last: Repository | None = None
        while page := self._index.repositories(registry, last, PAGE):
            for repository in page:
                target = _target(repository, old, new)
                if target != repository:
                    await self._rename(repository, target, leaks=_leaks(repository, target, old, new))
            last = page[-1]
            await asyncio.sleep(0)  # thousands of names: others have their turn between two pages

    async def _rename(self, repository: Repository, target: Repository, *, leaks: bool) -> None:
        renamed = not leaks and await self._catalog.rename_repository(repository, target, time.time())
        if renamed:
            telemetry.log.info("repository renamed", repository=str(repository), upstream=target.upstream)
        elif not repository.owned:
            # No name leads to it any more, and what it has is upstream's.
            await self._catalog.delete_repository(repository, time.time(), force=True)
            telemetry.log.info("cached repository dropped", repository=str(repository))

    def _routing_of(self, made: Rules) -> Routing:
        routing = Routing(self._routing.home, self._configured)
        routing.replace(made)
        return routing

    # Checks.

    def _check_new(self, registry: Registry, rule: PullThroughRule) -> None:
        key = _key(rule.prefix)
        used = {_key(one.prefix) for one in self.all(registry)}
        if registry == self._routing.home:
            used |= {one.name for one in self._configured} | {one.path_prefix for one in self._configured}
        if key in used:
            raise PullThroughCacheRuleAlreadyExists(
                f"A pull through cache rule with prefix '{rule.prefix}' already exists in the registry with id "
                f"'{registry.account}'"
            )
        if len(self._documents.list(registry, PULL_THROUGH)) >= RULES_MAX:
            raise LimitExceeded(
                f"The maximum number of pull through cache rules of the registry with id '{registry.account}' is "
                f"{RULES_MAX}"
            )

    def _check_secret(self, registry: Registry, rule: PullThroughRule) -> None:
        """Raise SecretNotFound and its kin unless the secret can be read now."""
        if rule.credential_arn:
            self._secrets.read(registry, rule.credential_arn)

    def _changeable(self, registry: Registry, prefix: str) -> PullThroughRule:
        """Return a rule of the API. Raises PullThroughCacheRuleNotFound, ValidationFailed."""
        rule = self.get(registry, prefix)
        if self._documents.get(registry, PULL_THROUGH, _key(prefix)) is None:
            raise ValidationFailed(
                f"The pull through cache rule with prefix '{prefix}' is set by the node's configuration"
            )
        return rule

    # The two kinds of rules, each as the other.

    def _made(self) -> dict[Registry, tuple[UpstreamRule, ...]]:
        """Return the rules of the API as upstreams."""
        made: dict[Registry, tuple[UpstreamRule, ...]] = {}
        for registry, _, body in self._documents.all(PULL_THROUGH):
            try:
                made[registry] = (*made.get(registry, ()), _upstream_rule(_read(body)))
            except (msgspec.DecodeError, RegistryError) as error:
                telemetry.log.error("pull through cache rule unreadable", registry=str(registry), reason=str(error))
        return made

    def _of_the_file(self, registry: Registry) -> list[PullThroughRule]:
        if registry != self._routing.home:
            return []
        return [
            self._shown(rule, prefix)
            for rule in self._configured
            for prefix in dict.fromkeys((rule.path_prefix or ROOT, *((ROOT,) if rule.root else ())))
        ]

    def _shown(self, rule: UpstreamRule, prefix: str) -> PullThroughRule:
        scheme, _, rest = rule.url.partition("://")
        url = rest.rstrip("/") if scheme == "https" else rule.url
        try:
            kind = read_upstream(rule.url).registry
        except UnsupportedUpstreamRegistry:
            kind = ""
        secret = rule.secret
        if secret and not secret.startswith("arn:"):
            secret = self._secrets.arn(self._routing.home, secret)
        return PullThroughRule(prefix, url, self._started_at, kind, rule.upstream_prefix or ROOT, secret)

    def _upstream_name(self, registry: Registry, rule: PullThroughRule) -> str:
        """Return by which name the upstream of a rule is known."""
        key = _key(rule.prefix)
        if self._documents.get(registry, PULL_THROUGH, key) is not None:
            return key
        found = (one for one in self._configured if (key == ROOT and one.root) or key == (one.path_prefix or ROOT))
        return next((one.name for one in found), key)


def _target(repository: Repository, old: Routing, new: Routing) -> Repository:
    """Return which repository the name of `repository` means by new rules."""
    if not repository.owned and old.rule(repository) is None:
        return repository  # it was just made by the new rules, or is of an upstream that is long gone
    is_ours = repository.owned or new.rule(repository) is None
    return new.route(repository.registry, old.address(repository), None, lambda _registry, _name: is_ours)


def _leaks(repository: Repository, target: Repository, old: Routing, new: Routing) -> bool:
    """Tell whether what came by this node's own credential would be as open as another upstream's."""
    left, taken = old.rule(repository), new.rule(target)
    return left is not None and taken is not None and not left.is_public and taken.is_public


def _upstream_rule(rule: PullThroughRule) -> UpstreamRule:
    key = _key(rule.prefix)
    made = UpstreamRule(key, read_upstream(rule.upstream_url).url, root=key == ROOT, tag_fresh_s=TAG_FRESH_S)
    upstream_prefix = "" if rule.upstream_prefix == ROOT else rule.upstream_prefix.rstrip("/")
    return replaced(
        made, prefix="" if key == ROOT else key, upstream_prefix=upstream_prefix, secret=rule.credential_arn
    )


def _key(prefix: str) -> str:
    """Return the one spelling of a prefix: the slash at its end is implied."""
    return prefix.rstrip("/")


def _read(body: bytes) -> PullThroughRule:
    return msgspec.json.decode(body, type=PullThroughRule)
