"""The servers that are measured side by side: this node, CNCF distribution, nginx. Each a process of ours on loopback.

Source: CLIENTS.md 1.2 and 6. A peer that is not installed, or does not start, is left out and says why.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from bench.connection import Connection, push_blob, push_manifest, request
from bench.content import MANIFEST_TYPE, Blob, Image
from bench.nginx import cache_config, dav_config, files_config
from tests.clients.daemons import Daemon, DaemonDied, is_open
from tests.clients.programs import find
from tests.ports import free_port

NAME = "library/bench"


class Peer(Protocol):
    """One server under load."""

    name: str
    port: int
    daemon: Daemon

    def take(self, image: Image) -> None:
        """Hold the image as NAME:latest, by whatever way is natural to this server."""

    def push(self, line: Connection, blob: Blob) -> None:
        """Take one blob from a client."""


class Registry:
    """A registry: it takes what is pushed."""

    def __init__(self, name: str, command: Sequence[str | Path], port: int, root: Path) -> None:
        self.name, self.port, self.root = name, port, root
        # Distribution takes REGISTRY_ variables for settings, and would send traces somewhere by default.
        env = {key: value for key, value in os.environ.items() if not key.startswith("REGISTRY_")}
        self.daemon = Daemon(command, root / "log", env | {"OTEL_TRACES_EXPORTER": "none"})

    def take(self, image: Image) -> None:
        line = Connection(self.port)
        for blob in image.blobs:
            self.push(line, blob)
        push_manifest(line, NAME, "latest", image.manifest, MANIFEST_TYPE)
        line.close()

    def push(self, line: Connection, blob: Blob) -> None:
        push_blob(line, NAME, blob.digest, blob.path, blob.size)


class Cache(Registry):
    """A registry in front of `upstream`: what it holds it was asked for."""

    def __init__(self, name: str, inner: Registry, upstream: "Nginx") -> None:
        self.name, self.port, self.root, self.daemon = name, inner.port, inner.root, inner.daemon
        self.upstream = upstream

    def take(self, image: Image) -> None:
        self.upstream.take(image)
        line = Connection(self.port)
        for path in (
            "manifests/latest",
            f"manifests/{image.digest}",
            *(f"blobs/{blob.digest}" for blob in image.blobs),
        ):
            line.send(request("GET", f"/v2/{NAME}/{path}", f"Accept: {MANIFEST_TYPE}\r\n"))
            status = line.answer().status
            assert status == 200, f"{self.name}: GET {path}: {status}"
        line.close()


class Nginx:
    """nginx with the registry's files under its root: the floor for reading, and by WebDAV's PUT for writing."""

    def __init__(self, name: str, config: str, port: int, root: Path) -> None:
        self.name, self.port, self.files = name, port, root / "files"
        (root / "nginx.conf").write_text(config)
        for folder in ("manifests", "blobs"):
            (self.files / "v2" / NAME / folder).mkdir(parents=True)
        (self.files / "v2" / "index.html").write_text("{}")
        self.daemon = Daemon(["nginx", "-c", root / "nginx.conf", "-e", root / "error.log"], root / "log")

    def take(self, image: Image) -> None:
        for reference in ("latest", image.digest):
            (self.files / "v2" / NAME / "manifests" / reference).write_bytes(image.manifest)
        for blob in image.blobs:
            self.hold(blob)

    def hold(self, blob: Blob) -> None:
        place = self.files / "v2" / NAME / "blobs" / blob.digest
        if not place.exists():
            os.link(blob.path, place)

    def push(self, line: Connection, blob: Blob) -> None:
        line.send_file(request("PUT", f"/pushed/{blob.digest}", f"Content-Length: {blob.size}\r\n"), blob.path)
        status = line.answer().status
        assert status == 201, f"PUT: {status}"


def mirror(root: Path, upstream_port: int | None = None) -> Registry:
    """Make this node: a registry of its own, or a cache of the upstream."""
    port = free_port()
    text = f'[server]\nlisten = "127.0.0.1:{port}"\n[storage]\nroot = "{root}/store"\n'
    text += '[access]\nanonymous = ["pull", "push", "delete"]\n[registry]\ncreate_on_push = true\n'
    if upstream_port is not None:
        text += f'[[upstream]]\nname = "docker.io"\nroot = true\nurl = "http://127.0.0.1:{upstream_port}"\n'
    config = root / "mirror.toml"
    config.write_text(text)
    command: list[str | Path] = [Path(sys.executable).with_name("mirror"), "serve", "--config", config]
    return Registry("mirror", command, port, root)


def distribution(name: str, program: Path, root: Path, upstream_port: int | None = None) -> Registry:
    """Make a distribution, 2.8 or 3: a registry, or in its pull-through mode."""
    port = free_port()
    text = (
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {root}/data}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    if upstream_port is not None:
        text += f"proxy: {{remoteurl: 'http://127.0.0.1:{upstream_port}'}}\n"
    config = root / "registry.yml"
    config.write_text(text)
    return Registry(name, [program, "serve", config], port, root)


def nginx(root: Path, kind: str = "nginx", upstream_port: int | None = None) -> Nginx:
    """Make nginx over files (with its access log, for counting), over files that it is PUT, or as a cache."""
    port = free_port()
    if upstream_port is not None:
        return Nginx(kind, cache_config(root, port, upstream_port), port, root)
    config = dav_config if kind == "nginx-put" else files_config
    return Nginx(kind, config(root, port), port, root)


def start(peer: Peer) -> None:
    """Start a peer. Raises DaemonDied."""
    peer.daemon.start(lambda: is_open(peer.port))


@contextmanager
def running_cache(root: Path) -> Iterator[list[Peer]]:
    """Start this node once more, as a cache of an nginx of its own: pulled through should cost as pushed."""
    upstream = nginx(_folder(root, "upstream"), "upstream")
    start(upstream)
    cache = Cache("mirror, cached", mirror(_folder(root, "cache"), upstream.port), upstream)
    try:
        start(cache)
        yield [cache]
    finally:
        cache.daemon.stop()
        upstream.daemon.stop()


@contextmanager
def running(root: Path, upstream_port: int | None = None, nginx_kind: str = "nginx") -> Iterator[list[Peer]]:
    """Start every peer that this machine has, each in its own folder; stop them and remove their files at the end."""
    with ExitStack() as stack:
        peers: list[Peer] = []
        for peer in _candidates(root, upstream_port, nginx_kind):
            try:
                start(peer)
            except (DaemonDied, OSError) as death:
                print(f"left out: {peer.name}: {death}", file=sys.stderr)
                continue
            stack.callback(peer.daemon.stop)
            peers.append(peer)
        yield peers


def _candidates(root: Path, upstream_port: int | None, nginx_kind: str) -> Iterator[Peer]:
    yield mirror(_folder(root, "mirror"), upstream_port)
    for name, program in (("docker-registry", "docker-registry"), ("distribution-3", "registry")):
        found = find(program)
        if found is not None:
            yield distribution(name, found, _folder(root, name), upstream_port)
    if shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"):
        yield nginx(_folder(root, nginx_kind), nginx_kind, upstream_port)


def _folder(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir()
    return folder
