"""What a rule chooses, and how images are named."""

import pytest

from mirror.oci.digest import parse_digest
from mirror.oci.errors import RegistryError
from mirror.rules.syncing import SyncRule, chosen_tags, read_image

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "name", "reference"),
    [
        ("docker.io/library/nginx:1.27", "docker.io/library/nginx", "1.27"),
        ("quay.io/team/app", "quay.io/team/app", "latest"),
        ("nginx", "nginx", "latest"),
        (f"quay.io/team/app@{DIGEST}", "quay.io/team/app", parse_digest(DIGEST)),
        (f"quay.io/team/app:v1@{DIGEST}", "quay.io/team/app", parse_digest(DIGEST)),
    ],
)
def test_images_are_named_as_clients_do(text: str, name: str, reference: object) -> None:
    """Exact `repository:tag` or `repository@digest`, `latest` when neither."""
    assert read_image(text) == (name, reference)


@pytest.mark.parametrize("text", ["", ":v1", "App", "app:", "app:-v1", "app@sha256:0", "localhost:5000/app", "app@"])
def test_what_is_no_image_is_refused(text: str) -> None:
    """A name has no port: it is what stands behind the node's own address."""
    with pytest.raises(RegistryError):
        read_image(text)


def test_the_newest_of_what_the_patterns_choose() -> None:
    """Issue 4, section 3: filters and newest N."""
    rule = SyncRule("base", tags=("1.*", "!*-rc*"), newest=2)
    assert list(chosen_tags(rule, ["1.9", "1.10", "1.8", "2.0", "1.11-rc1"])) == ["1.10", "1.9"]
