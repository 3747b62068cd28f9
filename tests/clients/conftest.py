"""The matrix: a real upstream, this node before it, and one client of each kind, all on loopback."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.clients.client import Client, Unavailable
from tests.clients.containerd import Containerd
from tests.clients.containers import Containers
from tests.clients.daemons import which
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
NEEDED: Final = ("docker-registry", "skopeo", "buildah", "busybox")


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    missing = [program for program in NEEDED if which(program) is None]
    if missing:
        pytest.skip(f"no upstream with a real image without {', '.join(missing)}")
    upstream = Upstream(tmp_path_factory.mktemp("upstream"))
    upstream.start()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("node"), upstream.port)
    node.start()
    yield node
    node.stop()


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="session", params=MAKERS)
def client_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def client(client_name: str, node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One client of each kind, with an empty store of its own."""
    try:
        client = MAKERS[client_name](tmp_path_factory.mktemp(client_name), node.address)
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield client
    client.close()


@pytest.fixture(scope="session")
def image(client: Client, client_name: str, workshop: Workshop, upstream: Upstream) -> Image:
    """An image at the upstream that only this client pulls: the first pull of each client is a cold one."""
    image = workshop.build(client_name)
    upstream.take(image)
    return image
