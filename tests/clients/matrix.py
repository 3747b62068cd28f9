"""Every client of the matrix, by name, with the image that it pulls."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.clients.client import Client, Unavailable
from tests.clients.containerd import Containerd
from tests.clients.containers import Containers
from tests.clients.dockerd import Dockerd
from tests.clients.images import Image, Workshop
from tests.clients.layouts import LANGUAGES, Layouts
from tests.clients.registries import Node, Upstream

MAKERS: Final[Mapping[str, Callable[[Path, str], Client]]] = {
    "dockerd": Dockerd,
    "containerd": Containerd,
    "containerd-default": lambda root, node: Containerd(root, node, hosts="_default"),
    "podman": lambda root, node: Containers("podman", root, node),
    "buildah": lambda root, node: Containers("buildah", root, node),
    **{
        program: lambda root, node, program=program: Layouts(program, root, node)  # type: ignore[misc]
        for program in LANGUAGES
    },
}


class Matrix:
    """The clients, each made when it is first asked for, and an image at the upstream for each."""

    def __init__(self, folder: Callable[[str], Path], node: Node, upstream: Upstream) -> None:
        self.folder, self.node, self.upstream = folder, node, upstream
        self.workshop = Workshop(folder("workshop"))
        self.clients: dict[str, Client | Unavailable] = {}
        self.images: dict[str, Image] = {}

    def client(self, name: str) -> Client:
        """Return the client, with an image store of its own. Raises Unavailable."""
        if name not in self.clients:
            try:
                self.clients[name] = MAKERS[name](self.folder(name), self.node.address)
            except Unavailable as reason:
                self.clients[name] = reason
        client = self.clients[name]
        if isinstance(client, Unavailable):
            raise client
        return client

    def image(self, name: str) -> Image:
        """Return the image that only this client pulls: the first pull of each client is a cold one."""
        if name not in self.images:
            image = self.images[name] = self.workshop.build(name)
            self.upstream.take(image)
        return self.images[name]

    def close(self) -> None:
        for client in self.clients.values():
            if not isinstance(client, Unavailable):
                client.close()
