"""Real clients pull, push and pull again through a whole node (issue 2, section 7)."""

import pytest

from tests.clients.client import Client
from tests.clients.images import Image
from tests.clients.registries import Upstream

pytestmark = pytest.mark.clients


@pytest.mark.parametrize("tag", ["latest", "schema2"])
def test_a_client_pulls_an_image_of_the_upstream_through_the_node(client: Client, image: Image, tag: str) -> None:
    """Issue 2, section 7: by `?ns=`, by root name or by prefix; an OCI index and a Docker schema 2 image."""
    assert image.config in client.pull(image.name, tag)


def test_each_blob_is_fetched_once_whatever_the_tag_and_the_client(
    client: Client, image: Image, upstream: Upstream
) -> None:
    """Issue 2, section 4: the same digest is stored once and never fetched twice, whatever the name."""
    client.pull(image.name, "latest")
    client.forget()
    client.pull(image.name, "schema2")
    assert {digest: upstream.fetches(digest) for digest in image.blobs} == dict.fromkeys(image.blobs, 1)


def test_a_client_pulls_back_what_it_pushed(client: Client, image: Image) -> None:
    """Issue 2, section 7: a push to an un-prefixed repository of the node's own."""
    client.pull(image.name, "latest")
    client.push(image.name, f"team/{image.name}")
    client.forget()
    assert image.config in client.pull_own(f"team/{image.name}")
