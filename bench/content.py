"""What the peers serve: blobs of chosen sizes and the image that names them, in files under a scratch folder."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB
SMALL_BYTES: Final = 4 * KIB  # a common config blob
CHUNK_BYTES: Final = 4 * MIB
MANIFEST_PADDING_BYTES: Final = 700  # with it the manifest is as long as that of a common image, about 1.2 KiB


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes in a file, and their digest."""

    path: Path
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest and all the blobs that it names."""

    manifest: bytes
    blobs: tuple[Blob, ...]

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.manifest).hexdigest()}"


def make_blob(folder: Path, size: int) -> Blob:
    """Write `size` bytes that nobody has seen before: a random chunk, repeated with its place in front."""
    chunk, digest, written = os.urandom(min(size, CHUNK_BYTES)), hashlib.sha256(), 0
    part = folder / "part"
    with part.open("wb") as out:
        while written < size:
            piece = (written.to_bytes(8, "big") + chunk[8:])[: size - written]
            out.write(piece)
            digest.update(piece)
            written += len(piece)
    path = folder / digest.hexdigest()
    return Blob(part.rename(path), f"sha256:{digest.hexdigest()}", size)


def make_image(folder: Path, layers: tuple[int, ...], shared: tuple[Blob, ...] = ()) -> Image:
    """Make an image of a small config and layers of these sizes, all of random bytes, and of `shared` layers."""
    blobs = (*(make_blob(folder, size) for size in (SMALL_BYTES, *layers)), *shared)
    config, *rest = [{"mediaType": kind, "digest": blob.digest, "size": blob.size} for kind, blob in _typed(blobs)]
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config,
        "layers": rest,
        "annotations": {"bench.padding": "x" * MANIFEST_PADDING_BYTES},
    }
    return Image(json.dumps(document).encode(), blobs)


def _typed(blobs: tuple[Blob, ...]) -> list[tuple[str, Blob]]:
    kinds = ["application/vnd.oci.image.config.v1+json"] + ["application/vnd.oci.image.layer.v1.tar+gzip"] * len(blobs)
    return list(zip(kinds, blobs, strict=False))
