"""Real images, made without internet: busybox under a layer of random bytes, for two platforms.

Source: CLIENTS.md 1.3; buildah makes the images, so config, layers and index are what a build tool in the field writes.
"""

import json
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.clients.daemons import client_env, run

PAYLOAD_BYTES: Final = 3 * 1024 * 1024  # more than a node keeps in its index: must come from a file
PLATFORMS: Final = ("amd64", "arm64")
HERE: Final = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "amd64")


@dataclass(frozen=True, slots=True)
class Image:
    """One multi-platform image in an OCI layout, under the tag `latest`. Digests as text."""

    name: str
    layout: Path
    index: str
    config: str  # of this machine's platform
    layers: tuple[str, ...]  # of this machine's platform

    @property
    def blobs(self) -> tuple[str, ...]:
        return (self.config, *self.layers)


class Workshop:
    """Builds images with buildah, as root or not, in a storage of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env = client_env(root / "home") | {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
        self._base()

    def build(self, name: str) -> Image:
        """Make an image whose upper layer nobody else has; its lower layer is in every image of this workshop."""
        payload = self.root / name
        for arch in PLATFORMS:
            shutil.rmtree(payload, ignore_errors=True)
            payload.mkdir()
            (payload / "payload").write_bytes(os.urandom(PAYLOAD_BYTES))
            self._commit(f"base-{arch}", arch, payload, f"{name}-{arch}")
        layout = self.root / f"{name}.oci"
        self._buildah("manifest", "create", name, *(f"{name}-{arch}" for arch in PLATFORMS))
        self._buildah("manifest", "push", "--all", name, f"oci:{layout}:latest")
        return read_layout(name, layout)

    def _base(self) -> None:
        busybox = shutil.which("busybox")
        assert busybox, "busybox is missing"
        tree = self.root / "base"
        (tree / "bin").mkdir(parents=True)
        shutil.copy2(busybox, tree / "bin")
        (tree / "bin" / "sh").symlink_to("busybox")
        for arch in PLATFORMS:
            self._commit("scratch", arch, tree, f"base-{arch}")

    def _commit(self, base: str, arch: str, tree: Path, name: str) -> None:
        container = self._buildah("from", "--pull-never", "--arch", arch, base).strip()
        self._buildah("copy", "--quiet", container, str(tree), "/")
        self._buildah("config", "--arch", arch, "--os", "linux", "--cmd", "/bin/sh", container)
        self._buildah("commit", "--quiet", "--format", "oci", container, name)

    def _buildah(self, *words: str) -> str:
        root = ("--root", str(self.root / "storage"), "--runroot", str(self.root / "run"))
        return run(["buildah", *root, *words], self.env)


def read_layout(name: str, layout: Path) -> Image:
    """Read back what a build tool wrote: index, this machine's manifest, its config and layers."""
    index = _document(layout, "index.json")["manifests"][0]["digest"]
    children = _blob(layout, index)["manifests"]
    child = next(entry["digest"] for entry in children if entry["platform"]["architecture"] == HERE)
    manifest = _blob(layout, child)
    layers = tuple(layer["digest"] for layer in manifest["layers"])
    return Image(name, layout, index, manifest["config"]["digest"], layers)


def _blob(layout: Path, digest: str) -> Any:
    return _document(layout, f"blobs/{digest.replace(':', '/')}")


def _document(layout: Path, path: str) -> Any:
    return json.loads((layout / path).read_bytes())
