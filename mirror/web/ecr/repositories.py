"""Private repositories by the API: made, described, set, deleted.

Source: ECR API reference; ECR.md 1.3 and 2.7. An encryption is kept and echoed: what is on the disk is as it was sent.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from msgspec.structs import replace

from mirror.oci.names import Registry, Repository
from mirror.registry.repositories import Repositories
from mirror.rules.mutability import check_settings
from mirror.rules.repositories import RepositorySettings, check_private_name
from mirror.rules.resource_tags import check_tags
from mirror.rules.routing import Routing
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.paging import invalid_token, make_token, page_size, read_token
from mirror.web.ecr.scope import registry_of
from mirror.web.ecr.shapes import Shapes, mutability, read_encryption, read_mutability, read_tags
from mirror.web.ecr.subjects import Subjects


class PrivateRepositories:
    """The handlers of CreateRepository and its kin."""

    def __init__(self, subjects: Subjects, repositories: Repositories, routing: Routing, shapes: Shapes) -> None:
        self._subjects = subjects
        self._repositories = repositories
        self._routing = routing
        self._shapes = shapes

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr", "CreateRepository"): self.create_repository,
            ("ecr", "DescribeRepositories"): self.describe_repositories,
            ("ecr", "DeleteRepository"): self.delete_repository,
            ("ecr", "PutImageTagMutability"): self.put_image_tag_mutability,
            ("ecr", "PutImageScanningConfiguration"): self.put_image_scanning_configuration,
        }

    async def create_repository(self, call: Call) -> dict[str, Any]:
        """Make a repository."""
        registry, name = registry_of(call), call.input["repositoryName"]
        check_private_name(name)
        setting, exclusions = read_mutability(call.input)
        check_settings(setting, exclusions)
        kind, key = read_encryption(call.input.get("encryptionConfiguration"))
        settings = RepositorySettings(
            created_at=time.time(),
            mutability=setting,
            exclusions=exclusions,
            scan_on_push=_scan_on_push(call),
            encryption=kind,
            kms_key=key,
            tags=check_tags(read_tags(call.input.get("tags", ()))),
        )
        repository = await self._repositories.create(registry, name, settings)
        return {"repository": self._shapes.repository(repository)}

    async def describe_repositories(self, call: Call) -> dict[str, Any]:
        """Describe the repositories that are named, or all of the registry: its own first, then the cached ones."""
        registry = registry_of(call)
        if "repositoryNames" in call.input:
            named = [self._repositories.get(registry, name) for name in dict.fromkeys(call.input["repositoryNames"])]
            return {"repositories": [self._shapes.repository(repository) for repository in named]}
        last, limit = _read_last(registry, read_token(call)), page_size(call)
        found = list(islice(self._known(registry, last), limit + 1))
        token = make_token(call, [found[limit - 1].upstream, found[limit - 1].name]) if len(found) > limit else None
        return {"repositories": [self._shapes.repository(one) for one in found[:limit]], "nextToken": token}

    async def delete_repository(self, call: Call) -> dict[str, Any]:
        """Delete a repository; with `force` its images too."""
        subject = self._subjects.of(call)
        shape = self._shapes.repository(subject.repository)
        await self._repositories.delete(subject.repository, force=call.input.get("force", False))
        return {"repository": shape}

    async def put_image_tag_mutability(self, call: Call) -> dict[str, Any]:
        """Say which tags may move, from the next push on."""
        subject = self._subjects.of(call)
        setting, exclusions = read_mutability(call.input)
        check_settings(setting, exclusions)
        await self._repositories.change(
            subject.repository, lambda settings: replace(settings, mutability=setting, exclusions=exclusions)
        )
        return {**subject.shape, **mutability(setting, exclusions)}

    async def put_image_scanning_configuration(self, call: Call) -> dict[str, Any]:
        """Say whether a push is scanned. ECR has this by registry now; the setting is kept and counts beside that."""
        subject, scans = self._subjects.of(call), _scan_on_push(call)
        await self._repositories.change(subject.repository, lambda settings: replace(settings, scan_on_push=scans))
        return {**subject.shape, "imageScanningConfiguration": {"scanOnPush": scans}}

    def _known(self, registry: Registry, last: Repository | None) -> Iterator[Repository]:
        """List the repositories behind `last` that a name leads to: not those of an upstream that is no longer set."""
        found = self._repositories.all(registry, last)
        return (one for one in found if one.owned or self._routing.rule(one) is not None)


def _scan_on_push(call: Call) -> bool:
    return bool(call.input.get("imageScanningConfiguration", {}).get("scanOnPush", False))


def _read_last(registry: Registry, cursor: Sequence[Any] | None) -> Repository | None:
    if cursor is None:
        return None
    # It becomes a key of the index, in which NUL parts one thing from the next.
    if len(cursor) != 2 or not all(isinstance(part, str) and "\0" not in part for part in cursor):
        raise invalid_token()
    return Repository(registry, cursor[0], cursor[1])
