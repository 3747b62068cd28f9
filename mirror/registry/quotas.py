"""Quotas at the door of a push: what would exceed one is refused before anything is written.

Counted before the ledger's transaction, not in it: to count an account takes longer than a push, and there is one
transaction at a time for everybody. What other pushes are about to add is counted with it, so that none of them passes
the limit together with this one; near the limit a push may be refused that would have fitted a moment later. What a
registry is sent by replication, and what it caches, is never refused: a copy that is left out is worse than one more.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from mirror.aws.errors import QuotaExceeded
from mirror.oci.digest import Digest
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository
from mirror.rules.quotas import QuotaRule, Usage
from mirror.store.usages import Usages


class _Scope(NamedTuple):
    """What one quota counts together: a repository, or (None) all of the account."""

    rule: QuotaRule
    repository: Repository | None


class Quotas:
    """The quotas of the node; `own_account` is whose those are that name none."""

    def __init__(self, rules: Sequence[QuotaRule], usages: Usages, own_account: str) -> None:
        self._rules = rules
        self._usages = usages
        self._own_account = own_account
        self._coming: dict[tuple[_Scope, object], Usage] = {}  # by pushes that are counted and not yet written

    @asynccontextmanager
    async def admit(self, repository: Repository, name: str, digest: Digest, manifest: Manifest) -> AsyncIterator[None]:
        """Let a manifest be put into a repository, which clients call `name`, in the block. Raises QuotaExceeded."""
        scopes = self._scopes(repository, name)
        if not scopes:
            yield
            return
        added = await self._usages.added(repository, digest, manifest)
        push = object()
        # Noted first, counted then: of two pushes at once each sees the other, as coming or as written.
        for scope in scopes:
            self._coming[scope, push] = added
        try:
            for scope in scopes:
                await self._check(scope, push, repository, name)
            yield
        finally:
            for scope in scopes:
                del self._coming[scope, push]

    def _scopes(self, repository: Repository, name: str) -> list[_Scope]:
        return [
            _Scope(rule, repository if rule.is_for_each else None)
            for rule in self._rules
            if (rule.account or self._own_account) == repository.registry.account and rule.covers(name)
        ]

    async def _check(self, scope: _Scope, push: object, repository: Repository, name: str) -> None:
        added = self._coming[scope, push]
        if added == Usage():
            return
        used = await self._used(scope, repository)
        for (other, of), usage in self._coming.items():
            if other == scope and of is not push:
                used = used.plus(usage)
        if passed := scope.rule.exceeded(used, added):
            account = repository.registry.account
            whose = f"the registry with id '{account}'"
            if scope.repository is not None:
                whose = f"the repository with name '{name}' in {whose}"
            raise QuotaExceeded(f"The quota of {whose} would be exceeded: {passed}")

    async def _used(self, scope: _Scope, repository: Repository) -> Usage:
        if scope.repository is not None:
            return await self._usages.of_repository(repository)
        return await self._usages.of_account(repository.registry.account)
