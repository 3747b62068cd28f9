"""The matrix: a real upstream, this node before it, and one client of each kind, all on loopback."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.clients.client import Client, Unavailable
from tests.clients.daemons import which
from tests.clients.images import Image
from tests.clients.matrix import MAKERS, Matrix
from tests.clients.registries import Node, Upstream

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
def matrix(tmp_path_factory: pytest.TempPathFactory, node: Node, upstream: Upstream) -> Iterator[Matrix]:
    matrix = Matrix(tmp_path_factory.mktemp, node, upstream)
    yield matrix
    matrix.close()


# Not of session scope: pytest would sort the tests by client then, and the upstream would go and come back between.
@pytest.fixture(params=MAKERS)
def client_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def client(client_name: str, matrix: Matrix) -> Client:
    """A client of each kind, with nothing in its image store."""
    try:
        client = matrix.client(client_name)
    except Unavailable as reason:
        pytest.skip(str(reason))
    client.forget()
    return client


@pytest.fixture
def image(client: Client, client_name: str, matrix: Matrix) -> Image:
    return matrix.image(client_name)
