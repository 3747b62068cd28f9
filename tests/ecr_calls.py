"""The handlers of the ECR APIs over a whole registry floor, called as the dispatcher calls them.

async with ecr_calls(tmp_path) as ecr:
    answer = await ecr("CreateRepository", repositoryName="app")
    error = await ecr.refused("GetLifecyclePolicy", repositoryName="app")

Each input is validated by the service model first, each raw answer and each refusal is held against it.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from registries import HOME
from responses import assert_answer, assert_modelled

from mirror.aws.principals import Principal, root_of
from mirror.config.settings import Access, Settings, Storage
from mirror.node.assembly import House, build
from mirror.node.identities import open_identities
from mirror.node.tasks import Tasks
from mirror.oci.errors import RegistryError
from mirror.oci.media import OCI_INDEX, OCI_MANIFEST
from mirror.oci.names import Registry
from mirror.registry.audit import Audit
from mirror.registry.gallery import Gallery
from mirror.rules.repositories import RepositorySettings
from mirror.rules.routing import UpstreamRule
from mirror.store.store import Store
from mirror.upstream.limits import Limits
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.aws.json11 import drop_absent, refuse
from mirror.web.aws.models import Models
from mirror.web.ecr.contents import Registries, private_handlers
from mirror.web.ecr_public.table import public_handlers

MODELS = Models.load()
ME = root_of(HOME.account)
CREATED_AT = 1_700_000_000.0
APP = "team/app"  # the repository of most tests


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal as clients see it."""

    type: str
    message: str
    members: Mapping[str, Any]


class EcrCalls:
    """Calls operations of ECR, or of ECR Public with `service="ecr-public"`."""

    def __init__(self, house: House) -> None:
        store = house.store
        self.house = house
        self.store = store
        self.public = house.public
        self.gallery = Gallery(store.catalog, store.documents)
        self.lifecycles = house.lifecycles
        self.registries = Registries(
            index=store.index,
            catalog=store.catalog,
            images=store.images,
            replications=store.replications,
            backfills=house.backfills,
            repositories=house.repositories,
            routing=house.routing,
            authority=house.authority,
            push=house.push,
            manifests=house.manifests,
            pull_times=house.pull_times,
            blobs=house.blobs,
            discovery=house.discovery,
            lifecycles=self.lifecycles,
            hosts=house.hosts,
            identities=house.known.identities,
            tokens=house.known.tokens,
        )
        self.handlers: dict[tuple[Service, str], Handler] = {
            **private_handlers(self.registries),
            **public_handlers(self.registries, self.public, self.gallery),
        }

    async def __call__(
        self, operation: str, *, service: Service = "ecr", principal: Principal = ME, **values: Any
    ) -> dict[str, Any]:
        """Call an operation and return its answer, as JSON has it. Raises RegistryError."""
        model = MODELS.find(service, operation)
        assert model is not None
        given = model.input.read(drop_absent(values))
        call = Call(service, operation, principal, given, "request", "192.0.2.1", "tests", False, "us-east-1")
        body = orjson.dumps(drop_absent(await self.handlers[service, operation](call)))
        assert_answer(service, operation, body)
        return dict(json.loads(body))

    async def refused(self, operation: str, *, service: Service = "ecr", **values: Any) -> Refusal:
        """Call an operation that must refuse, with an error that its model knows, as every client gets it."""
        try:
            answer = await self(operation, service=service, **values)
        except RegistryError as error:
            assert_modelled(service, operation, error.aws)
            body = refuse(error, "request").body
            assert isinstance(body, bytes)
            said = json.loads(body)
            return Refusal(said.pop("__type"), said.pop("message"), said)
        raise AssertionError(f"{operation} answered {answer}")

    async def pages(self, operation: str, member: str, **values: Any) -> list[list[Any]]:
        """Call an operation page by page; return what `member` has in each."""
        found = []
        token: str | None = None
        while True:
            answer = await self(operation, nextToken=token, **values)
            found.append(answer[member])
            token = answer.get("nextToken")
            if token is None:
                return found

    async def make(self, name: str, registry: Registry = HOME, **settings: Any) -> None:
        """Make a repository."""
        await self.house.repositories.create(registry, name, RepositorySettings(CREATED_AT, **settings))

    async def push_layer(self, name: str, data: bytes, service: Service = "ecr") -> str:
        """Upload a layer as clients of the API do; one that is there already is as good."""
        digest = sha256(data)
        about = {"repositoryName": name, "service": service}
        upload = (await self("InitiateLayerUpload", **about))["uploadId"]
        part = {"partFirstByte": 0, "partLastByte": len(data) - 1, "layerPartBlob": data}
        await self("UploadLayerPart", uploadId=upload, **about, **part)
        try:
            await self("CompleteLayerUpload", uploadId=upload, layerDigests=[digest], **about)
        except RegistryError as error:
            assert error.aws == "LayerAlreadyExistsException", error
        return digest

    async def push(
        self, name: str, *tags: str, seed: str = "", service: Service = "ecr", subject: str = "", **more: Any
    ) -> "Pushed":
        """Push a small image that differs by `seed`, under each of `tags`, or none; `subject` is a manifest's text."""
        config, layer = f'{{"seed":"{seed}"}}'.encode(), f"layer {seed}".encode() * 30
        for data in (config, layer):
            await self.push_layer(name, data, service)
        body: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": described(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [described(layer, "application/vnd.oci.image.layer.v1.tar+gzip")],
            **more,
        }
        if subject:
            body["subject"] = described(subject.encode(), OCI_MANIFEST)
        return await self.put(name, json.dumps(body, indent=5), *tags, service=service, size=len(config) + len(layer))

    async def push_list(self, name: str, *tags: str, of: Iterable["Pushed"], service: Service = "ecr") -> "Pushed":
        """Push a list of images."""
        children = [described(image.manifest.encode(), OCI_MANIFEST) for image in of]
        body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}
        return await self.put(name, json.dumps(body), *tags, service=service, size=max(image.size for image in of))

    async def put(self, name: str, manifest: str, *tags: str, service: Service = "ecr", size: int = 0) -> "Pushed":
        """Put a manifest under each of `tags`, or none."""
        for tag in tags or (None,):
            await self("PutImage", service=service, repositoryName=name, imageManifest=manifest, imageTag=tag)
        return Pushed(manifest, size)


@dataclass(frozen=True, slots=True)
class Pushed:
    """An image that was pushed; `size` in bytes is that of config and layers."""

    manifest: str
    size: int

    @property
    def digest(self) -> str:
        return sha256(self.manifest.encode())

    @property
    def layers(self) -> list[str]:
        return [layer["digest"] for layer in json.loads(self.manifest)["layers"]]


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def described(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}


@asynccontextmanager
async def ecr_calls(
    root: Path, *, upstreams: Iterable[UpstreamRule] = (), anonymous: tuple[Any, ...] = (), clocks: Limits | None = None
) -> AsyncIterator[EcrCalls]:
    """Open a store at `root` and build on it; the same root again is the same node after a restart."""
    settings = Settings(storage=Storage(root), access=Access(anonymous), upstreams=tuple(upstreams))
    async with asyncio.TaskGroup() as below, Store.open(root, Tasks(below).spawn, home=settings.home) as store:
        known = await open_identities(settings, store)
        async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
            tasks = Tasks(group)
            stack.callback(tasks.cancel)
            house = build(settings, store, known, tasks, Audit(settings.registry.region), clocks)
            stack.push_async_callback(house.upstreams.close)
            await house.pull_through.apply()
            yield EcrCalls(house)
