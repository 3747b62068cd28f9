"""How far each place is behind, and copies of what was here before its place was."""

from collections.abc import Mapping
from typing import Any, Final

from mirror.oci.names import Registry
from mirror.registry.backfills import Backfills
from mirror.store.replications import NO_LAG, Place, Replications, Shipment
from mirror.web.administration.asks import Backfill, ListReplications
from mirror.web.administration.desk import Verbs

REFUSED_MAX: Final = 100  # refused images in one answer


class ReplicationDesk:
    """Answers `/replications`."""

    def __init__(self, replications: Replications, backfills: Backfills) -> None:
        self._replications = replications
        self._backfills = backfills

    def verbs(self) -> Verbs:
        return {ListReplications: self._list, Backfill: self._backfill}

    async def _list(self, _: str, __: ListReplications) -> Mapping[str, Any]:
        """Say of each place how far it is behind, and which images it refuses. Of all accounts: a line is shared."""
        places = []
        lags = await self._replications.lags()
        for place, arrived in (await self._replications.arrived()).items():
            lag = lags.get(place, NO_LAG)
            places.append(
                {
                    "region": place.region,
                    "account": place.account,
                    "complete": arrived,
                    "waiting": lag.waiting,
                    "failed": lag.failed,
                    "oldestAt": lag.oldest_at,
                }
            )
        refused = [_refused(one) for one in await self._replications.refused(REFUSED_MAX)]
        return {"places": places, "refused": refused}

    async def _backfill(self, account: str, ask: Backfill) -> Mapping[str, Any]:
        """Have what is here already go to a destination of the configuration."""
        return {"images": await self._backfills.ask_all(Registry(account), Place(ask.destination, ""))}


def _refused(one: Shipment) -> Mapping[str, Any]:
    order = one.order
    return {
        "region": order.place.region,
        "account": order.place.account,
        "source": order.repository.registry.account,
        "repository": order.repository.name,
        "digest": str(order.digest) if order.digest else "",
        "tag": order.tag,
        "failure": one.failure,
        "reason": one.reason,
        "tries": one.tries,
    }
