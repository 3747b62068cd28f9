"""Repository creation templates as they are kept: made, listed, changed, deleted.

Source: ECR API reference, CreateRepositoryCreationTemplate and its kin; ECR.md 2.6. Which one makes a repository, and
of what, is `rules.templates`; when, is `repositories`.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from mirror.aws.errors import (
    InvalidParameter,
    InvalidTagParameter,
    LimitExceeded,
    TemplateAlreadyExists,
    TemplateNotFound,
    TooManyTags,
)
from mirror.oci.names import Registry
from mirror.registry.policies import check_policy
from mirror.registry.repositories import TEMPLATE
from mirror.rules.lifecycle import compact, parse_lifecycle
from mirror.rules.templates import Template, check_template
from mirror.store.documents import Documents, Edit

TEMPLATES_MAX: Final = 100  # of a registry, ours: all of them are looked at when a repository is made


class CreationTemplates:
    """The templates of all registries."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._changing = asyncio.Lock()

    def all(self, registry: Registry) -> list[Template]:
        """List the templates of a registry, by prefix."""
        return [_read(body) for _, body in self._documents.list(registry, TEMPLATE)]

    def get(self, registry: Registry, prefix: str) -> Template:
        """Return the template of a prefix. Raises TemplateNotFound."""
        body = self._documents.get(registry, TEMPLATE, _key(prefix))
        if body is None:
            raise TemplateNotFound(
                f"The repository creation template with prefix '{prefix}' does not exist in the registry with id "
                f"'{registry.account}'"
            )
        return _read(body)

    async def create(self, registry: Registry, template: Template) -> Template:
        """Make a template; return it as it is kept. Raises TemplateAlreadyExists, LimitExceeded, InvalidParameter."""
        template = _checked(template)
        async with self._changing:
            self._check_new(registry, template.prefix)
            return await self._write(registry, template)

    async def change(self, registry: Registry, prefix: str, change: Callable[[Template], Template]) -> Template:
        """Let `change` make a new template of the present one. Raises TemplateNotFound, InvalidParameter."""
        async with self._changing:
            return await self._write(registry, _checked(change(self.get(registry, prefix))))

    async def delete(self, registry: Registry, prefix: str) -> Template:
        """Delete a template; return what it was. Raises TemplateNotFound."""
        async with self._changing:
            template = self.get(registry, prefix)
            await self._documents.write([Edit(registry, TEMPLATE, _key(prefix), None)])
        return template

    def _check_new(self, registry: Registry, prefix: str) -> None:
        if self._documents.get(registry, TEMPLATE, _key(prefix)) is not None:
            raise TemplateAlreadyExists(
                f"The repository creation template with prefix '{prefix}' already exists in the registry with id "
                f"'{registry.account}'"
            )
        if len(self._documents.list(registry, TEMPLATE)) >= TEMPLATES_MAX:
            raise LimitExceeded(f"The maximum number of repository creation templates is {TEMPLATES_MAX}")

    async def _write(self, registry: Registry, template: Template) -> Template:
        await self._documents.write([Edit(registry, TEMPLATE, _key(template.prefix), msgspec.json.encode(template))])
        return template


def _checked(template: Template) -> Template:
    """Return a template that can be kept, its lifecycle policy without white space. Raises InvalidParameter."""
    try:
        check_template(template)
    except (InvalidTagParameter, TooManyTags) as error:
        # The operations on templates model neither.
        raise InvalidParameter(error.message) from None
    if template.repository_policy:
        check_policy(template.repository_policy, "repository")
    if not template.lifecycle_policy:
        return template
    parse_lifecycle(template.lifecycle_policy)
    return msgspec.structs.replace(template, lifecycle_policy=compact(template.lifecycle_policy))


def _key(prefix: str) -> str:
    """Return the one spelling of a prefix: the slash at its end is implied."""
    return prefix.rstrip("/")


def _read(body: bytes) -> Template:
    return msgspec.json.decode(body, type=Template)
