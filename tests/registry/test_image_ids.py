"""Image ids: what can name an image, and which one is meant."""

from pathlib import Path

import pytest
from ecr_calls import APP, ecr_calls
from hypothesis import given
from hypothesis import strategies as st
from registries import HOME

from mirror.oci.digest import parse_digest
from mirror.oci.names import Repository
from mirror.registry.image_ids import ImageFailure, ImageId, find_image

ABSENT = "sha256:" + "0" * 64


@given(st.text(max_size=80), st.text(max_size=140))
def test_any_text_is_read_or_is_a_failure_with_a_code(digest: str, tag: str) -> None:
    """ECR API reference, ImageFailureCode: what clients send is text of any kind."""
    try:
        ImageId(digest, tag).check()
    except ImageFailure as failure:
        assert failure.code in ("InvalidImageDigest", "InvalidImageTag", "MissingDigestAndTag")
        assert failure.reason
    else:
        assert digest or tag


async def test_an_image_is_found_by_each_half_and_by_both(tmp_path: Path) -> None:
    """ECR.md 1.3: digest, tag, or both where they agree."""
    async with ecr_calls(tmp_path / "data") as ecr:
        await ecr.make(APP)
        image, other = await ecr.push(APP, "v1", seed="a"), await ecr.push(APP, "v2", seed="b")
        repository, digest = Repository(HOME, "", APP), parse_digest(image.digest)
        index = ecr.store.index
        for asked in (ImageId(image.digest), ImageId(tag="v1"), ImageId(image.digest, "v1")):
            assert find_image(index, repository, asked) == digest
        for asked, code in (
            (ImageId(other.digest, "v1"), "ImageTagDoesNotMatchDigest"),
            (ImageId(ABSENT), "ImageNotFound"),
            (ImageId(image.layers[0]), "ImageNotFound"),
            (ImageId(tag="v3"), "ImageNotFound"),
            (ImageId(ABSENT, "v3"), "ImageNotFound"),
        ):
            with pytest.raises(ImageFailure) as raised:
                find_image(index, repository, asked)
            assert raised.value.code == code
