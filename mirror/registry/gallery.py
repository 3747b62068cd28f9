"""The gallery: what public repositories and registries say about themselves.

Source: ECR Public guide, "Repository catalog data"; ECR.md 2.10. The texts are a document of the repository, and so is
its logo, in base64: both go with it. Every account may have a logo and a display name: there is nobody to verify one.
"""

import asyncio
import base64
import time
from typing import Final

import msgspec

from mirror.aws.errors import RepositoryCatalogDataNotFound, RepositoryNotFound
from mirror.oci.digest import digest_of
from mirror.oci.names import Registry, Repository
from mirror.rules.catalog_data import CatalogData, CatalogEdit, check_display_name, check_logo, edited
from mirror.store.catalog import Catalog
from mirror.store.documents import Documents, Edit

CATALOG: Final = "public.catalog"  # kinds of repository documents
LOGO: Final = "public.logo"
DISPLAY_NAME: Final = "public.display_name"  # the kind of a public registry's document


def check_edit(edit: CatalogEdit, logo: bytes | None, data: CatalogData | None = None) -> CatalogData:
    """Return `data`, or what nobody has described, as `edit` and a new `logo` make it. Raises InvalidParameter."""
    if logo is not None:
        check_logo(logo)
        edit = msgspec.structs.replace(edit, logo=str(digest_of(logo)))
    return edited(data or CatalogData(), edit)


class Gallery:
    """The catalogue data of all public repositories and registries."""

    def __init__(self, catalog: Catalog, documents: Documents) -> None:
        self._catalog = catalog
        self._documents = documents
        self._editing = asyncio.Lock()

    async def find(self, repository: Repository) -> CatalogData | None:
        """Return what a repository says of itself; None when it says nothing."""
        text = await self._catalog.document(repository, CATALOG)
        return None if text is None else msgspec.json.decode(text, type=CatalogData)

    async def get(self, repository: Repository) -> CatalogData:
        """Return the same. Raises RepositoryCatalogDataNotFound."""
        data = await self.find(repository)
        if data is None:
            raise RepositoryCatalogDataNotFound(
                f"The catalog data for the repository with name '{repository.name}' in the registry with id "
                f"'{repository.registry.account}' does not exist"
            )
        return data

    async def edit(self, repository: Repository, edit: CatalogEdit, logo: bytes | None) -> CatalogData:
        """Change the members that are given. Raises InvalidParameter, RepositoryNotFound."""
        async with self._editing:
            data = check_edit(edit, logo, await self.find(repository))
            if logo is not None:
                await self._put(repository, LOGO, base64.b64encode(logo).decode())
            await self._put(repository, CATALOG, msgspec.json.encode(data).decode())
        return data

    async def logo(self, repository: Repository) -> bytes | None:
        """Return the logo of a repository, a PNG."""
        text = await self._catalog.document(repository, LOGO)
        return None if text is None else base64.b64decode(text)

    def display_name(self, registry: Registry) -> str:
        """Return how a registry calls itself, or ""."""
        return (self._documents.get(registry, DISPLAY_NAME) or b"").decode()

    async def set_display_name(self, registry: Registry, name: str) -> None:
        """Set how a registry calls itself. Raises InvalidParameter."""
        check_display_name(name)
        await self._documents.write([Edit(registry, DISPLAY_NAME, "", name.encode())])

    async def _put(self, repository: Repository, kind: str, text: str) -> None:
        if not await self._catalog.put_document(repository, kind, text, time.time()):
            raise RepositoryNotFound(repository.name, repository.registry)
