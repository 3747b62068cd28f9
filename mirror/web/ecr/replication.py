"""Shipment by the API: its configuration, what became of an image, and backfills.

Source: ECR API reference; ECR.md 2.4. The configuration is checked, kept and acted on. Backfills have no engine yet:
one is refused rather than promised.
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final, NoReturn

import msgspec

from mirror.aws.errors import ReplicationBackfillNotFound, ValidationFailed
from mirror.oci.names import Registry
from mirror.registry.configurations import Configurations
from mirror.rules.replication import Destination, ReplicationConfiguration
from mirror.store.replications import Place, Replications, Shipment
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.paging import read_token
from mirror.web.ecr.scope import registry_of
from mirror.web.ecr.single_images import SingleImages

NO_ENGINE: Final = "This node has no backfills yet: what is pushed from now on is replicated"
NOT_SET: Final = "The destination is not one of the registry's replication configuration"


class Replication:
    """The handlers of the seven operations on replication."""

    def __init__(self, images: SingleImages, configurations: Configurations, replications: Replications) -> None:
        self._images = images
        self._replications = replications
        self._configurations = configurations

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr", "DescribeRegistry"): self.describe_registry,
            ("ecr", "PutReplicationConfiguration"): self.put_replication_configuration,
            ("ecr", "DescribeImageReplicationStatus"): self.describe_image_replication_status,
            ("ecr", "StartReplicationBackfill"): self.start_backfill,
            ("ecr", "StopReplicationBackfill"): self.find_backfill,
            ("ecr", "DescribeReplicationBackfillResults"): self.find_backfill,
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
        found = await self._replications.of_image(one.subject.repository, one.image.digest, one.asked.tag)
        return {
            "repositoryName": one.subject.name,
            "imageId": one.shape,
            "replicationStatuses": [
                _status(place, rows) for place, rows in groupby(found, lambda row: row.order.place)
            ],
        }

    async def start_backfill(self, call: Call) -> dict[str, Any]:
        """Refuse: first for what ECR would refuse, then for want of an engine."""
        self._check_configured(registry_of(call), call.input["destination"])
        raise ValidationFailed(NO_ENGINE)

    async def find_backfill(self, call: Call) -> dict[str, Any]:
        """Find a backfill, of which there is none. Raises ReplicationBackfillNotFound."""
        read_token(call)
        _no_backfill(registry_of(call), call.input["replicationBackfillId"])

    async def list_backfills(self, call: Call) -> dict[str, Any]:
        """List the backfills: none."""
        read_token(call)
        return {"registryId": registry_of(call).account, "backfills": []}

    def _check_configured(self, registry: Registry, given: Mapping[str, Any]) -> None:
        rules = self._configurations.replication(registry).rules
        wanted = msgspec.convert(given, Destination)
        if all(wanted not in rule.destinations for rule in rules):
            raise ValidationFailed(NOT_SET)


def _status(place: Place, rows: Iterable[Shipment]) -> dict[str, Any]:
    """Say how an image stands at a place, under all its tags: as the one that is least well."""
    worst = min(rows, key=lambda row: ("FAILED", "IN_PROGRESS", "COMPLETE").index(row.status))
    return {
        "region": place.region,
        "registryId": place.account,
        "status": worst.status,
        "failureCode": worst.failure or None,
    }


def _no_backfill(registry: Registry, backfill: str) -> NoReturn:
    raise ReplicationBackfillNotFound(
        f"The replication backfill with id '{backfill}' does not exist in the registry with id '{registry.account}'"
    )


def _written(configuration: ReplicationConfiguration) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(configuration)
    return found
