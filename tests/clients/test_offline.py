"""The same clients with the upstream gone: what the node has, it serves (issue 2, sections 4 and 7)."""

import json
from collections.abc import Iterator

import pytest

from tests.clients.client import Client, Unavailable
from tests.clients.images import Image
from tests.clients.matrix import MAKERS, Matrix
from tests.clients.registries import Node

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module", autouse=True)
def offline(matrix: Matrix) -> Iterator[None]:
    """Every image was pulled through the node once, and one pushed to it by every client; then the upstream stops.

    Once for all tests: a node that has just seen its upstream fail does not ask it again at once.
    """
    for name in MAKERS:
        try:
            _prepare(matrix.client(name), matrix.image(name), matrix.node)
        except Unavailable:
            continue
    matrix.upstream.stop()
    yield
    matrix.upstream.start()


def test_a_client_with_an_empty_store_pulls_while_the_upstream_is_gone(client: Client, image: Image) -> None:
    """Issue 2, section 4: upstream failure serves stale; every tag here is stale at once, by configuration."""
    assert image.config in client.pull(image.name, "latest")


def test_a_client_pulls_what_it_pushed_while_the_upstream_is_gone(client: Client, image: Image) -> None:
    """Issue 2, section 7: then once more with the upstream stopped."""
    assert image.config in client.pull_own(f"kept/{image.name}")


def test_a_client_pushes_while_the_upstream_is_gone(client: Client, image: Image) -> None:
    """Issue 2, section 4: the node works with no network at all."""
    client.pull(image.name, "latest")
    client.push(image.name, f"kept/{image.name}")


def _prepare(client: Client, image: Image, node: Node) -> None:
    for path in _paths(image, node):
        node.get(path)
    client.forget()
    client.pull(image.name, "latest")
    client.push(image.name, f"kept/{image.name}")


def _paths(image: Image, node: Node) -> Iterator[str]:
    """Name every manifest and blob of an image, all platforms, as paths of the node."""
    repository = f"/v2/library/{image.name}"
    yield f"{repository}/manifests/latest"
    for child in json.loads(node.get(f"{repository}/manifests/{image.index}"))["manifests"]:
        manifest = json.loads(node.get(f"{repository}/manifests/{child['digest']}"))
        yield from (f"{repository}/blobs/{part['digest']}" for part in (manifest["config"], *manifest["layers"]))
