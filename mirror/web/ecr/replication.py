"""Replication by the API: its configuration, what became of an image, and backfills.

Source: ECR API reference; ECR.md 2.4.
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final

import msgspec

from mirror.registry.backfills import Backfill, Backfills
from mirror.registry.configurations import Configurations
from mirror.rules.replication import ReplicationConfiguration
from mirror.store.replications import Place, Replications, Shipment
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.paging import make_token, page_size, read_number, read_token
from mirror.web.ecr.scope import registry_of
from mirror.web.ecr.single_images import SingleImages

BACKFILLS_PAGE: Final = 25  # ECR API reference, ListReplicationBackfills


class Replication:
    """The handlers of the seven operations on replication."""

    def __init__(
        self,
        images: SingleImages,
        configurations: Configurations,
        replications: Replications,
        backfills: Backfills,
    ) -> None:
        self._images = images
        self._replications = replications
        self._backfills = backfills
        self._configurations = configurations

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr", "DescribeRegistry"): self.describe_registry,
            ("ecr", "PutReplicationConfiguration"): self.put_replication_configuration,
            ("ecr", "DescribeImageReplicationStatus"): self.describe_image_replication_status,
            ("ecr", "StartReplicationBackfill"): self.start_backfill,
            ("ecr", "StopReplicationBackfill"): self.stop_backfill,
            ("ecr", "DescribeReplicationBackfillResults"): self.describe_backfill,
            ("ecr", "ListReplicationBackfills"): self.list_backfills,
        }

    async def describe_registry(self, call: Call) -> dict[str, Any]:
        """Tell where the registry replicates to."""
        registry = registry_of(call)
        found = self._configurations.replication(registry)
        return {"registryId": registry.account, "replicationConfiguration": _written(found)}

    async def put_replication_configuration(self, call: Call) -> dict[str, Any]:
        """Say where the registry replicates to, in place of all that was said before."""
        found = msgspec.convert(call.input["replicationConfiguration"], ReplicationConfiguration)
        await self._configurations.put_replication(registry_of(call), found)
        return {"replicationConfiguration": _written(found)}

    async def describe_image_replication_status(self, call: Call) -> dict[str, Any]:
        """Tell what became of an image at each place that it was to go to."""
        one = await self._images.of(call)
        rows = await self._replications.of_image(one.subject.repository, one.image.digest, one.asked.tag)
        found = [row for row in rows if row.order.place.account]  # the API knows no registries but of accounts
        return {
            "repositoryName": one.subject.name,
            "imageId": one.shape,
            "replicationStatuses": [
                _status(place, rows) for place, rows in groupby(found, lambda row: row.order.place)
            ],
        }

    async def start_backfill(self, call: Call) -> dict[str, Any]:
        """Have what is there already go to a destination of the configuration."""
        registry, given = registry_of(call), call.input["destination"]
        made = await self._backfills.start(registry, Place(given["region"], given["registryId"]))
        return {"registryId": registry.account, **_named(made)}

    async def stop_backfill(self, call: Call) -> dict[str, Any]:
        """Call off what has not arrived."""
        registry = registry_of(call)
        stopped = await self._backfills.stop(registry, call.input["replicationBackfillId"])
        return {"registryId": registry.account, **_named(stopped)}

    async def describe_backfill(self, call: Call) -> dict[str, Any]:
        """Tell how a backfill stands and, once it has ended, what became of each image."""
        registry, cursor = registry_of(call), read_token(call)
        found = await self._backfills.get(registry, call.input["replicationBackfillId"])
        answer = {"registryId": registry.account, **await self._summary(found)}
        if not found.ended_at:
            return answer
        limit = page_size(call)
        wanted = call.input.get("resultStatusFilter", "")
        after = read_number(cursor)
        rows = await self._replications.of_backfill(found.id, after, limit + 1, wanted)
        token = make_token(call, [rows[limit - 1].id]) if len(rows) > limit else None
        return {**answer, "results": [_result(row) for row in rows[:limit]], "nextToken": token}

    async def list_backfills(self, call: Call) -> dict[str, Any]:
        """List the backfills, the youngest first."""
        registry, limit = registry_of(call), page_size(call, BACKFILLS_PAGE)
        start = read_number(read_token(call))
        found = (await self._backfills.all(registry))[start:]
        token = make_token(call, [start + limit]) if len(found) > limit else None
        summaries = [await self._summary(one) for one in found[:limit]]
        return {"registryId": registry.account, "backfills": summaries, "nextToken": token}

    async def _summary(self, found: Backfill) -> dict[str, Any]:
        summary = {**_named(found), "endedAt": found.ended_at or None}
        if found.status == "PREPARING":
            return summary
        counts = await self._backfills.counts(found)
        progress = {
            "totalReplicationCount": found.total,
            "completedReplicationCount": counts.complete,
            "failedReplicationCount": counts.failed,
            "failureCodes": list(counts.failures),
        }
        return {**summary, "progress": progress}


def _named(found: Backfill) -> dict[str, Any]:
    return {
        "replicationBackfillId": found.id,
        "destination": {"region": found.region, "registryId": found.account},
        "status": found.status,
        "startedAt": found.started_at,
    }


def _result(row: Shipment) -> dict[str, Any]:
    return {
        "repositoryName": row.order.repository.name,
        "imageId": {"imageDigest": str(row.order.digest), "imageTag": row.order.tag or None},
        "status": row.status,
        "failureCode": row.failure or None,
    }


def _status(place: Place, rows: Iterable[Shipment]) -> dict[str, Any]:
    """Say how an image stands at a place, under all its tags: as the one that is least well."""
    worst = min(rows, key=lambda row: ("FAILED", "IN_PROGRESS", "COMPLETE").index(row.status))
    return {
        "region": place.region,
        "registryId": place.account,
        "status": worst.status,
        "failureCode": worst.failure or None,
    }


def _written(configuration: ReplicationConfiguration) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(configuration)
    return found
