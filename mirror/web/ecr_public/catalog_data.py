"""Catalogue data of public repositories by the API, and the logos that it points at.

Source: ECR Public API reference; ECR.md 2.10. A logo is served as the PNG that it was proved to be when it was put, and
as nothing else: browsers must not guess, nor run anything in it.
"""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from mirror.aws.arns import ACCOUNT
from mirror.oci.digest import digest_of
from mirror.oci.errors import NotFound
from mirror.oci.names import Registry
from mirror.registry.gallery import Gallery
from mirror.registry.repositories import Repositories
from mirror.rules.repositories import is_public_name
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.distribution import answer, is_same, not_modified
from mirror.web.ecr.subjects import Subjects
from mirror.web.ecr_public.shapes import LOGOS, Shapes, read_catalog_edit
from mirror.web.gate import read_target
from mirror.web.heads import Headers

LOGO_S: Final = 300  # a logo that was changed is seen within five minutes


class RepositoryCatalog:
    """The handlers of GetRepositoryCatalogData and PutRepositoryCatalogData."""

    def __init__(self, subjects: Subjects, gallery: Gallery, shapes: Shapes) -> None:
        self._subjects = subjects
        self._gallery = gallery
        self._shapes = shapes

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr-public", "GetRepositoryCatalogData"): self.get_repository_catalog_data,
            ("ecr-public", "PutRepositoryCatalogData"): self.put_repository_catalog_data,
        }

    async def get_repository_catalog_data(self, call: Call) -> dict[str, Any]:
        """Give what was said."""
        repository = self._subjects.of(call).repository
        return {"catalogData": self._shapes.catalog_data(repository, await self._gallery.get(repository))}

    async def put_repository_catalog_data(self, call: Call) -> dict[str, Any]:
        """Change the members that are given; the others stay."""
        repository = self._subjects.of(call).repository
        edit, logo = read_catalog_edit(call.input["catalogData"])
        data = await self._gallery.edit(repository, edit, logo)
        return {"catalogData": self._shapes.catalog_data(repository, data)}


class Logos:
    """Answers GET and HEAD of `/logos/<account>/<repository>`, for everybody."""

    def __init__(self, repositories: Repositories, gallery: Gallery) -> None:
        self._repositories = repositories
        self._gallery = gallery

    async def get(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send a logo. Raises NotFound."""
        data = await self._find(read_target(request)[0].removeprefix(LOGOS))
        digest = str(digest_of(data))
        headers: Headers = [
            ("Content-Type", "image/png"),
            ("Content-Length", str(len(data))),
            ("ETag", f'"{digest}"'),
            ("Cache-Control", f"public, max-age={LOGO_S}"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", "default-src 'none'; sandbox"),
        ]
        if is_same(request, digest):
            return not_modified(headers)
        return answer(200, headers, b"" if request.method == "HEAD" else data)

    async def _find(self, path: str) -> bytes:
        account, _, name = path.partition("/")
        is_there = _is_account(account) and is_public_name(name)
        repository = self._repositories.find(Registry(account, public=True), name) if is_there else None
        data = await self._gallery.logo(repository) if repository else None
        if data is None:
            raise NotFound("there is no such logo")
        return data


def _is_account(text: str) -> bool:
    return ACCOUNT.fullmatch(text) is not None
