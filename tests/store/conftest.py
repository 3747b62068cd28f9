"""What the tests of the store share: a root of their own, a whole store in it, and small real images."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from registries import HOME

from mirror.oci import media
from mirror.oci.digest import Digest, digest_of
from mirror.oci.manifest import Manifest, parse_manifest
from mirror.oci.names import Repository
from mirror.store.files import Files
from mirror.store.store import Store

OURS = Repository(HOME, "", "team/app")
HUB = Repository(HOME, "docker.io", "library/nginx")
AT = 1_700_000_000.0


@dataclass(frozen=True)
class Image:
    """A manifest over real blobs."""

    body: bytes
    blobs: tuple[bytes, ...]

    @property
    def digest(self) -> Digest:
        return digest_of(self.body)

    @property
    def manifest(self) -> Manifest:
        return parse_manifest(self.body)


class MakeImage(Protocol):
    def __call__(self, *blobs: bytes, subject: Image | None = None) -> Image: ...


def _descriptor(data: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": str(digest_of(data)), "size": len(data)}


def _image(*blobs: bytes, subject: Image | None = None) -> Image:
    layers = [_descriptor(blob, "application/vnd.oci.image.layer.v1.tar") for blob in blobs]
    body: dict[str, object] = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "layers": layers}
    body |= {"config": _descriptor(b"{}", "application/vnd.test.config"), "annotations": {"who": "us"}}
    if subject is not None:
        body["subject"] = _descriptor(subject.body, media.OCI_MANIFEST)
    return Image(json.dumps(body).encode(), (b"{}", *blobs))


class Root:
    """A storage root that can be opened, closed and opened again."""

    ours = OURS
    hub = HUB
    at = AT

    def __init__(self, path: Path) -> None:
        self.path = path

    @asynccontextmanager
    async def open(self, **options: Any) -> AsyncIterator[Store]:
        spawned: list[asyncio.Task[None]] = []

        def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
            spawned.append(asyncio.get_running_loop().create_task(work, name=name))

        async with Store.open(self.path, spawn, home=HOME, **options) as store:
            yield store
        await asyncio.gather(*spawned)


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def push_blob(store: Store, repository: Repository, data: bytes) -> Digest:
    upload = store.uploads.create(repository)
    await upload.append(pieces(data))
    digest = digest_of(data)
    entry = await upload.finish(digest)
    await store.catalog.link_blob(repository, digest, entry.size, media.OCTETS, AT, blob=entry)
    return digest


async def push_image(store: Store, repository: Repository, image: Image, tags: Sequence[str] = ()) -> None:
    for blob in image.blobs:
        await push_blob(store, repository, blob)
    await asyncio.to_thread(store.files.write, image.digest, image.body)
    await store.catalog.put_manifest(
        repository, image.digest, image.manifest, len(image.body), tags, AT, whole=True, body=image.body
    )


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path / "data")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """The archive's disk."""
    path = tmp_path / "disk"
    path.mkdir()
    return path


@pytest.fixture
async def store(root: Root) -> AsyncIterator[Store]:
    async with root.open() as opened:
        yield opened


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    opened = Files(tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
def make_image() -> MakeImage:
    return _image


@dataclass(frozen=True)
class Push:
    """Pushes as the registry does them: bytes first, then names."""

    blob = staticmethod(push_blob)
    image = staticmethod(push_image)
    pieces = staticmethod(pieces)


@pytest.fixture
def push() -> Push:
    return Push()
