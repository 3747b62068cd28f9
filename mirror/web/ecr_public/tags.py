"""Tags of public repositories as resources, and the tags of their images: two things of one name.

Source: ECR Public API reference; ECR.md 1.3, "Tags". Public ARNs have no region; only repositories have tags.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from mirror.aws.arns import parse_arn
from mirror.aws.errors import RepositoryNotFound, constraint
from mirror.oci.names import Registry, Repository
from mirror.registry.repositories import Repositories
from mirror.rules.repositories import is_public_name
from mirror.rules.resource_tags import check_tags, merge, untag
from mirror.store.images import Images
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.image_details import described
from mirror.web.ecr.listings import list_image_ids
from mirror.web.ecr.paging import make_token, page_size, read_token
from mirror.web.ecr.shapes import read_tags, tags
from mirror.web.ecr.subjects import Subjects

_RESOURCE: Final = "repository/"


class PublicTags:
    """The handlers of TagResource, UntagResource and ListTagsForResource."""

    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr-public", "TagResource"): self.tag_resource,
            ("ecr-public", "UntagResource"): self.untag_resource,
            ("ecr-public", "ListTagsForResource"): self.list_tags_for_resource,
        }

    async def tag_resource(self, call: Call) -> dict[str, Any]:
        """Add tags; one that is there gets the new value."""
        added = check_tags(read_tags(call.input["tags"]))
        await self._repositories.change(
            self._repository(call), lambda settings: replace(settings, tags=merge(settings.tags, added))
        )
        return {}

    async def untag_resource(self, call: Call) -> dict[str, Any]:
        """Take tags away; one that is not there is no fault."""
        keys = call.input["tagKeys"]
        await self._repositories.change(
            self._repository(call), lambda settings: replace(settings, tags=untag(settings.tags, keys))
        )
        return {}

    async def list_tags_for_resource(self, call: Call) -> dict[str, Any]:
        """List the tags."""
        return {"tags": tags(self._repositories.settings(self._repository(call)).tags)}

    def _repository(self, call: Call) -> Repository:
        """Return what the ARN names. Raises InvalidParameter, RepositoryNotFound."""
        arn = parse_arn(call.input["resourceArn"])
        if arn is None or arn.service != "ecr-public" or arn.region or not arn.account:
            raise constraint("resourceArn", "Invalid ARN")
        if not arn.resource.startswith(_RESOURCE):
            raise constraint("resourceArn", "Invalid ARN")
        registry, name = Registry(arn.account, public=True), arn.resource.removeprefix(_RESOURCE)
        if not is_public_name(name):
            raise RepositoryNotFound(name, registry)
        return self._repositories.get(registry, name)


class ImageTags:
    """The handler of DescribeImageTags."""

    def __init__(self, subjects: Subjects, images: Images) -> None:
        self._subjects = subjects
        self._images = images

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {("ecr-public", "DescribeImageTags"): self.describe_image_tags}

    async def describe_image_tags(self, call: Call) -> dict[str, Any]:
        """List the tags of all images, by the digest of their image."""
        subject = self._subjects.of(call)
        entries, cursor = await list_image_ids(
            self._images, subject.repository, read_token(call), page_size(call), tagged=True, named_only=True
        )
        details = [
            {"imageTag": tag, "createdAt": set_at, "imageDetail": described(image)} for image, tag, set_at in entries
        ]
        return {"imageTagDetails": details, "nextToken": make_token(call, cursor) if cursor else None}
