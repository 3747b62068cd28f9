"""What an operator looks at, by the administration socket: status, why, offline; and what is purged by hand.

    {"operation": "why", "image": "docker.io/library/app:v1"}  ->  {"image": ..., "keptBy": ["tag v1"], ...}

Answers are the shapes of `registry/view`, in camel case.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from mirror.oci.names import Reference, Registry, parse_reference
from mirror.registry.view import Offline, Provenance, Purge, Statuses, Usages
from mirror.rules.syncing import read_image
from mirror.web.administration.asks import Explain, ForecastPurge, ListServable, PurgeCached, TellStatus, TellUsage
from mirror.web.administration.desk import Verbs


@dataclass(frozen=True, slots=True)
class ViewDesk:
    """Answers `/view`."""

    statuses: Statuses
    provenance: Provenance
    offline: Offline
    usages: Usages
    purge: Purge

    def verbs(self) -> Verbs:
        return {
            TellStatus: self._tell_status,
            Explain: self._explain,
            ListServable: self._list_servable,
            TellUsage: self._tell_usage,
            PurgeCached: self._purge,
            ForecastPurge: self._forecast,
        }

    async def _tell_status(self, _: str, __: TellStatus) -> Mapping[str, Any]:
        return _said(await self.statuses.tell())

    async def _explain(self, account: str, ask: Explain) -> Mapping[str, Any]:
        return _said(await self.provenance.explain(Registry(account, ask.public), *read_image(ask.image)))

    async def _list_servable(self, account: str, ask: ListServable) -> Mapping[str, Any]:
        return _said(await self.offline.page(Registry(account, ask.public), ask.name, ask.platform, ask.after))

    async def _tell_usage(self, account: str, ask: TellUsage) -> Mapping[str, Any]:
        return _said(await self.usages.tell(Registry(account, ask.public), ask.repository))

    async def _purge(self, account: str, ask: PurgeCached) -> Mapping[str, Any]:
        reference = _reference(ask.reference)
        return _said(await self.purge.purge(Registry(account), ask.name, reference, dry=False))

    async def _forecast(self, account: str, ask: ForecastPurge) -> Mapping[str, Any]:
        return _said(await self.purge.purge(Registry(account), ask.name, _reference(ask.reference), dry=True))


def _reference(text: str) -> Reference | None:
    return parse_reference(text) if text else None


def _said(answer: msgspec.Struct) -> Mapping[str, Any]:
    said: Mapping[str, Any] = msgspec.to_builtins(answer)
    return said
