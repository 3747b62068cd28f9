"""Real clients pull, push and pull again through a whole node; then with the upstream gone (issue 2, section 7)."""

import json
from collections.abc import Iterator

import pytest

from tests.clients.client import Client
from tests.clients.images import Image
from tests.clients.registries import Node, Upstream

pytestmark = pytest.mark.clients


@pytest.fixture
def offline(node: Node, upstream: Upstream, image: Image) -> Iterator[None]:
    """The upstream is stopped, after all of the image has been asked of the node once."""
    for path in _paths(node, image):
        node.get(path)
    upstream.stop()
    yield
    upstream.start()


@pytest.mark.parametrize("tag", ["latest", "schema2"])
def test_a_client_pulls_an_image_of_the_upstream_through_the_node(
    client: Client, image: Image, upstream: Upstream, tag: str
) -> None:
    """Issue 2, section 7: by `?ns=`, by root name or by prefix; an OCI index and a Docker schema 2 image."""
    client.forget()
    assert image.config in client.pull(image.name, tag)


def test_each_blob_is_fetched_once_whatever_the_tag_and_the_client(
    client: Client, image: Image, upstream: Upstream
) -> None:
    """Issue 2, section 4: the same digest is stored once and never fetched twice, whatever the name."""
    client.forget()
    client.pull(image.name, "latest")
    client.forget()
    client.pull(image.name, "schema2")
    assert {digest: upstream.fetches(digest) for digest in image.blobs} == dict.fromkeys(image.blobs, 1)


def test_a_client_pulls_back_what_it_pushed(client: Client, image: Image) -> None:
    """Issue 2, section 7: a push to an un-prefixed repository of the node's own."""
    client.forget()
    client.pull(image.name, "latest")
    client.push(image.name, f"team/{image.name}")
    client.forget()
    assert image.config in client.pull_own(f"team/{image.name}")


@pytest.mark.usefixtures("offline")
def test_a_client_with_an_empty_store_pulls_while_the_upstream_is_gone(client: Client, image: Image) -> None:
    """Issue 2, section 4: an upstream failure serves what is there."""
    client.forget()
    assert image.config in client.pull(image.name, "latest")


@pytest.mark.usefixtures("offline")
def test_a_client_pushes_and_pulls_while_the_upstream_is_gone(client: Client, image: Image) -> None:
    """Issue 2, section 4: the node works with no network at all."""
    client.forget()
    client.pull(image.name, "latest")
    client.push(image.name, f"away/{image.name}")
    client.forget()
    assert image.config in client.pull_own(f"away/{image.name}")


def _paths(node: Node, image: Image) -> Iterator[str]:
    """Name every manifest and blob of an image, all platforms, as paths of the node."""
    repository = f"/v2/library/{image.name}"
    yield f"{repository}/manifests/latest"
    for child in json.loads(node.get(f"{repository}/manifests/{image.index}"))["manifests"]:
        manifest = json.loads(node.get(f"{repository}/manifests/{child['digest']}"))
        yield from (f"{repository}/blobs/{part['digest']}" for part in (manifest["config"], *manifest["layers"]))
