"""Basic credentials: one spelling, one split, no controls."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import Unauthorized
from mirror.registry.identities import read_basic

PRINTABLE = st.text(st.characters(blacklist_categories=("C", "Z"))).filter(str.isprintable)


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


@given(PRINTABLE.filter(lambda text: ":" not in text), PRINTABLE)
def test_user_and_password_are_split_at_the_first_colon(user: str, password: str) -> None:
    """RFC 7617, section 2: a user has no colon, a password may."""
    assert read_basic(encoded(f"{user}:{password}".encode())) == (user, password)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "YTpi\n",
        " YTpi",
        "YT pi",
        "YTp*i",
        "YTpi====",
        "YTpiYw",
        "YTpjZR==",  # spare bits
        "YTpi-_",
        encoded(b"no colon"),
        encoded(b"a:b\0"),
        encoded(b"a:b\r\nX: y"),
        encoded(b"a:\xff"),
        encoded("a:\ud800".encode("utf-8", "surrogatepass")),
        "YTpi\u0661",
        encoded(b"a:" + b"b" * 12_000),
    ],
)
def test_every_other_spelling_is_refused(text: str) -> None:
    """RELIABILITY A25."""
    with pytest.raises(Unauthorized):
        read_basic(text)
