"""What a log may say of a request: no key, and nothing that would be good once more (RELIABILITY A35)."""

import pytest

from mirror.web.access_log import said


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("/v2/team/app/manifests/v1?ns=docker.io", "/v2/team/app/manifests/v1?ns=docker.io"),
        ("/layers/a-key-to-a-layer", "/layers/..."),
        ("/layers/a-key?x=y", "/layers/..."),
        ("/?Action=AssumeRole&X-Amz-Signature=abc", "/?..."),
        ("/", "/"),
    ],
)
def test_keys_and_signatures_are_left_out(target: str, told: str) -> None:
    assert said(target) == told
