"""Downloads of layers: GetDownloadUrlForLayer, and the address that it gives.

Source: ECR API reference; ECR.md 1.3. The address is the node's own and its last part a token: who asked, for which
layer, until when. Each use asks again whether that principal may, so a right that is taken away is gone at once. The
token is a credential: the path is not for logs.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from mirror.aws.errors import (
    LayerDigestsNotFound,
    LayerInaccessible,
    RepositoryNotFound,
    UnableToGetUpstreamLayer,
    constraint,
)
from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import BlobUnknown, Denied, DigestInvalid, NotFound, Unauthorized, UpstreamError
from mirror.oci.names import Registry, Repository
from mirror.registry.authority import Authority
from mirror.registry.identities import Caller, Identities, Scope, Tokens
from mirror.registry.pull_blobs import PullBlobs
from mirror.registry.repositories import Repositories
from mirror.rules.hosts import Hosts
from mirror.store.images import Images
from mirror.store.index import Index
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.distribution import answer, is_same, not_modified
from mirror.web.ecr.subjects import Subject, Subjects
from mirror.web.gate import circumstances, read_target
from mirror.web.heads import Headers, blob_headers
from mirror.web.send import send_blob

PATH: Final = "/layers/"
AUDIENCE: Final = "layers"
URL_S: Final = 3_600.0  # ECR.md 1.3: its lifetime is not documented
ACTION: Final = "ecr:GetDownloadUrlForLayer"
_SCOPE: Final = "layer"


class DownloadUrls:
    """The handler of GetDownloadUrlForLayer."""

    def __init__(
        self,
        subjects: Subjects,
        index: Index,
        images: Images,
        blobs: PullBlobs,
        *,
        hosts: Hosts,
        identities: Identities,
        tokens: Tokens,
    ) -> None:
        self._subjects = subjects
        self._index = index
        self._images = images
        self._blobs = blobs
        self._hosts = hosts
        self._identities = identities
        self._tokens = tokens

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {("ecr", "GetDownloadUrlForLayer"): self.get_download_url_for_layer}

    async def get_download_url_for_layer(self, call: Call) -> dict[str, Any]:
        """Give the address of a layer that an image names."""
        subject = self._subjects.of(call)
        digest = _read_digest(call.input["layerDigest"])
        await self._check_there(subject, digest)
        scope = Scope(_SCOPE, f"{subject.registry.account}/{subject.name}", (str(digest),))
        credential = self._identities.credential(call.key_id)
        token = self._tokens.issue_bearer(call.principal, credential, AUDIENCE, (scope,), time.time(), URL_S)
        url = f"{self._hosts.endpoint(subject.registry)}{PATH}{token.text}"
        return {"downloadUrl": url, "layerDigest": str(digest)}

    async def _check_there(self, subject: Subject, digest: Digest) -> None:
        """Raise LayersNotFound, LayerInaccessible, UnableToGetUpstreamLayer for what could not be downloaded."""
        where = f"the repository with name '{subject.name}' in the registry with id '{subject.registry.account}'"
        absent = LayerDigestsNotFound(f"Layers with digests '[{digest}]' do not exist in {where}")
        repository = subject.repository
        named = await self._images.named_by_an_image(repository, digest)
        if named is None or named[1] != "ACTIVE":
            if self._index.serves(repository, digest):
                raise LayerInaccessible(f"The layer with digest '{digest}' is not part of an image in {where}")
            raise absent
        try:
            await self._blobs.size(repository, digest)
        except BlobUnknown:
            raise absent from None
        except UpstreamError as error:
            raise UnableToGetUpstreamLayer(error.message) from None


class Downloads:
    """Answers GET and HEAD of `/layers/<token>`."""

    def __init__(self, tokens: Tokens, repositories: Repositories, authority: Authority, blobs: PullBlobs) -> None:
        self._tokens = tokens
        self._repositories = repositories
        self._authority = authority
        self._blobs = blobs

    async def get(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send a layer, or what of it is asked for. Raises Denied, NotFound, BlobUnknown, UpstreamError."""
        path, _ = read_target(request)
        now = circumstances(request)
        caller = self._caller(path.removeprefix(PATH), now.at)
        repository, digest = self._layer(caller)
        self._authority.check(caller.principal, ACTION, repository, now)
        if request.method == "HEAD":
            return answer(200, _headers(digest, await self._blobs.size(repository, digest)))
        blob = await self._blobs.pull(repository, digest)
        headers = _headers(digest, blob.size)
        if is_same(request, str(digest)):
            blob.close()
            return not_modified(headers)
        return await send_blob(request, headers, blob)

    def _caller(self, token: str, now: float) -> Caller:
        try:
            return self._tokens.verify_bearer(token, AUDIENCE, now)
        except Unauthorized:
            # Nothing to log in to: a challenge would make browsers ask for a password.
            raise Denied("this address is not valid") from None

    def _layer(self, caller: Caller) -> tuple[Repository, Digest]:
        """Return what a token of ours is for. Raises NotFound when the repository is gone."""
        [scope] = caller.scopes or ()
        assert scope.type == _SCOPE
        account, _, name = scope.name.partition("/")
        try:
            return self._repositories.get(Registry(account), name), parse_digest(scope.actions[0])
        except RepositoryNotFound as error:
            raise NotFound(error.message) from None


def _headers(digest: Digest, size: int) -> Headers:
    """Write the head of a layer: for this client alone, for as long as it likes."""
    return blob_headers(str(digest), size, shared=False)


def _read_digest(text: str) -> Digest:
    try:
        return parse_digest(text)
    except DigestInvalid as error:
        raise constraint("layerDigest", error.message) from None
