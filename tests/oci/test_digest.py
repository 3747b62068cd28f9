"""Digests: only two algorithms, lower case, whole."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.digest import HEX_LENGTHS, Digest, digest_from_key, digest_of, hasher, parse_digest
from mirror.oci.errors import DigestInvalid

digests = st.sampled_from(sorted(HEX_LENGTHS)).flatmap(
    lambda name: st.text("0123456789abcdef", min_size=HEX_LENGTHS[name], max_size=HEX_LENGTHS[name]).map(
        lambda digits: Digest(name, digits)
    )
)


@given(digests)
def test_what_is_printed_is_what_was_read(digest: Digest) -> None:
    """Image-spec, descriptor.md: `algorithm ":" encoded`."""
    assert parse_digest(str(digest)) == digest


@given(digests)
def test_a_key_names_one_digest(digest: Digest) -> None:
    """The index' keys: a mark and the raw bytes."""
    assert digest_from_key(digest.key()) == digest
    assert len(digest.key()) == 1 + HEX_LENGTHS[digest.algorithm] // 2


@given(digests, digests)
def test_keys_are_as_different_as_digests(one: Digest, other: Digest) -> None:
    assert (one.key() == other.key()) == (one == other)


@given(st.text())
def test_any_text_is_a_digest_or_refused(text: str) -> None:
    try:
        assert str(parse_digest(text)) == text
    except DigestInvalid as error:
        assert error.code == "DIGEST_INVALID"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "sha256",
        "sha256:",
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "g" * 64,
        "sha256:" + "a" * 63 + "\n",
        "sha256:" + "a" * 64 + "\n",
        "sha256:" + "\u0661" * 64,
        "sha256:../" + "a" * 61,
        "sha256::" + "a" * 63,
        "SHA256:" + "a" * 64,
        "sha512:" + "a" * 64,
        "sha256:" + "a" * 128,
        "md5:" + "a" * 32,
        "sha384:" + "a" * 96,
        " sha256:" + "a" * 64,
        "sha256:" + "a" * 10_000,
    ],
)
def test_what_is_not_a_digest_is_refused(text: str) -> None:
    """RELIABILITY A27: a path is built from a checked digest only."""
    with pytest.raises(DigestInvalid) as caught:
        parse_digest(text)
    assert len(caught.value.message) < 1_000


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_bytes_are_named_by_the_algorithm_that_is_asked_for(algorithm: str) -> None:
    expected = hashlib.new(algorithm, b"bytes").hexdigest()
    running = hasher(algorithm)
    running.update(b"by")
    running.update(b"tes")
    assert str(digest_of(b"bytes", algorithm)) == f"{algorithm}:{expected}"
    assert running.hexdigest() == expected
