"""Repository creation templates by the API. Source: ECR API reference; ECR.md 2.6. The registry is the caller's own."""

import time
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from mirror.oci.names import Registry
from mirror.registry.creation_templates import CreationTemplates
from mirror.rules.access.echo import pretty
from mirror.rules.mutability import IMMUTABLE, MUTABLE
from mirror.rules.templates import Template
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.paging import cut_page
from mirror.web.ecr.scope import registry_of
from mirror.web.ecr.shapes import encryption, mutability, read_encryption, read_mutability, read_tag_map, tags


class Templates:
    """The handlers of the four operations on templates."""

    def __init__(self, templates: CreationTemplates) -> None:
        self._templates = templates

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr", "CreateRepositoryCreationTemplate"): self.create,
            ("ecr", "DescribeRepositoryCreationTemplates"): self.describe,
            ("ecr", "UpdateRepositoryCreationTemplate"): self.update,
            ("ecr", "DeleteRepositoryCreationTemplate"): self.delete,
        }

    async def create(self, call: Call) -> dict[str, Any]:
        """Make a template."""
        registry, now = registry_of(call), time.time()
        template = _given(Template(call.input["prefix"], (), now, now), call.input)
        return _answer(registry, await self._templates.create(registry, template))

    async def describe(self, call: Call) -> dict[str, Any]:
        """Describe all templates, or those of some prefixes; a prefix that has none is no fault."""
        registry = registry_of(call)
        found, token = self._templates.all(registry), None
        if "prefixes" in call.input:
            wanted = {prefix.rstrip("/") for prefix in call.input["prefixes"]}
            found = [one for one in found if one.prefix.rstrip("/") in wanted]
        else:
            found, token = cut_page(call, found, lambda one: one.prefix.rstrip("/"))
        shapes = [_written(one) for one in found]
        return {"registryId": registry.account, "repositoryCreationTemplates": shapes, "nextToken": token}

    async def update(self, call: Call) -> dict[str, Any]:
        """Change the members that are given; an empty policy text takes the policy away."""
        registry, now = registry_of(call), time.time()
        changed = await self._templates.change(
            registry, call.input["prefix"], lambda old: replace(_given(old, call.input), updated_at=now)
        )
        return _answer(registry, changed)

    async def delete(self, call: Call) -> dict[str, Any]:
        """Delete a template, and describe it one last time."""
        registry = registry_of(call)
        return _answer(registry, await self._templates.delete(registry, call.input["prefix"]))


def _given(old: Template, given: Mapping[str, Any]) -> Template:
    """Return a template with the members that an input gives. Raises InvalidParameter."""
    changes: dict[str, Any] = {}
    plain = {
        "description": "description",
        "repository_policy": "repositoryPolicy",
        "lifecycle_policy": "lifecyclePolicy",
        "custom_role_arn": "customRoleArn",
    }
    changes |= {member: given[said] for member, said in plain.items() if said in given}
    if "appliedFor" in given:
        changes["applied_for"] = tuple(dict.fromkeys(given["appliedFor"]))
    if "encryptionConfiguration" in given:
        changes["encryption"], changes["kms_key"] = read_encryption(given["encryptionConfiguration"])
    if "resourceTags" in given:
        changes["tags"] = read_tag_map(given["resourceTags"])
    changes |= _mutability(old, given)
    return replace(old, **changes)


def _mutability(old: Template, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an input says of mutability; filters that a new setting has no use for go with the old one."""
    setting, exclusions = read_mutability({"imageTagMutability": old.mutability, **given})
    if "imageTagMutabilityExclusionFilters" not in given and setting not in (MUTABLE, IMMUTABLE):
        exclusions = old.exclusions
    return {"mutability": setting, "exclusions": exclusions}


def _answer(registry: Registry, template: Template) -> dict[str, Any]:
    return {"registryId": registry.account, "repositoryCreationTemplate": _written(template)}


def _written(template: Template) -> dict[str, Any]:
    """Write a RepositoryCreationTemplate."""
    return {
        "prefix": template.prefix,
        "description": template.description or None,
        "encryptionConfiguration": encryption(template.encryption, template.kms_key),
        "resourceTags": tags(template.tags) or None,
        **mutability(template.mutability, template.exclusions),
        "repositoryPolicy": pretty(template.repository_policy) if template.repository_policy else None,
        "lifecyclePolicy": template.lifecycle_policy or None,
        "appliedFor": list(template.applied_for),
        "customRoleArn": template.custom_role_arn or None,
        "createdAt": template.created_at,
        "updatedAt": template.updated_at,
    }
