"""Tags of private repositories as resources.

Source: ECR API reference, TagResource and its kin; ECR.md 1.3, "Tags". Only repositories have tags; an ARN of another
account is another registry's.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from mirror.aws.arns import parse_arn
from mirror.aws.errors import InvalidParameter, constraint
from mirror.oci.names import Registry, Repository
from mirror.registry.repositories import Repositories
from mirror.rules.repositories import check_private_name
from mirror.rules.resource_tags import check_tags, merge, untag
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.shapes import read_tags, tags

_RESOURCE: Final = "repository/"


def read_repository_arn(text: str, region: str) -> tuple[Registry, str]:
    """Return the private registry and the name of the repository that an ARN means. Raises InvalidParameter."""
    arn = parse_arn(text)
    name = arn.resource.removeprefix(_RESOURCE) if arn is not None else ""
    if arn is None or arn.service != "ecr" or arn.region != region or not arn.account or name == arn.resource:
        raise _invalid()
    try:
        check_private_name(name)
    except InvalidParameter:
        raise _invalid() from None
    return Registry(arn.account), name


def _invalid() -> InvalidParameter:
    return constraint("resourceArn", "Invalid ARN")


class ResourceTags:
    """The handlers of TagResource, UntagResource and ListTagsForResource."""

    def __init__(self, repositories: Repositories, region: str) -> None:
        self._repositories = repositories
        self._region = region

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr", "TagResource"): self.tag_resource,
            ("ecr", "UntagResource"): self.untag_resource,
            ("ecr", "ListTagsForResource"): self.list_tags_for_resource,
        }

    async def tag_resource(self, call: Call) -> dict[str, Any]:
        """Add tags; one that is there gets the new value."""
        repository, added = self._repository(call), check_tags(read_tags(call.input["tags"]))
        await self._repositories.change(
            repository, lambda settings: replace(settings, tags=merge(settings.tags, added))
        )
        return {}

    async def untag_resource(self, call: Call) -> dict[str, Any]:
        """Take tags away; one that is not there is no fault."""
        repository, keys = self._repository(call), call.input["tagKeys"]
        await self._repositories.change(repository, lambda settings: replace(settings, tags=untag(settings.tags, keys)))
        return {}

    async def list_tags_for_resource(self, call: Call) -> dict[str, Any]:
        """List the tags."""
        return {"tags": tags(self._repositories.settings(self._repository(call)).tags)}

    def _repository(self, call: Call) -> Repository:
        """Return what the ARN names. Raises InvalidParameter, RepositoryNotFound."""
        return self._repositories.get(*read_repository_arn(call.input["resourceArn"], self._region))
