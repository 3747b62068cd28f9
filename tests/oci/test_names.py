"""Names, tags, references: the specification's grammar, in ASCII."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registries import HOME

from mirror.oci.digest import digest_of
from mirror.oci.errors import DigestInvalid, NameInvalid, TagInvalid
from mirror.oci.names import Repository, parse_name, parse_reference, parse_tag

# As distribution-spec 1.1 prints them.
SPEC_NAME = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
SPEC_TAG = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"

_PART = "[a-z0-9]{1,3}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}"
names = st.from_regex(f"{_PART}(/{_PART}){{0,2}}", fullmatch=True)
near_names = st.text("ab01._-/", max_size=20)


@given(st.one_of(near_names, st.text(max_size=30), names))
def test_a_name_is_what_the_specification_says(text: str) -> None:
    """Distribution-spec 1.1, "Pulling manifests": the grammar of <name>."""
    is_name = re.fullmatch(SPEC_NAME, text, re.ASCII) is not None and len(text) <= 255
    try:
        assert parse_name(text) == text
        assert is_name
    except NameInvalid:
        assert not is_name


@pytest.mark.parametrize("text", ["a", "library/nginx", "a__b", "a---b", "a.b_c-d/e0", "0", "a" * 255])
def test_a_good_name_is_read(text: str) -> None:
    assert parse_name(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "/", "a/", "/a", "a//b", "A", "a..b", "..", "a/../b", ".a", "a.", "a___b", "a._b", "a\n", "a b", "a%2fb"]
    + ["a\\b", "a\0b", "ä", "\u0430", "a" * 256, "a/" * 200],
)
def test_a_bad_name_is_refused(text: str) -> None:
    """RELIABILITY A27: no traversal, no other script, no length without end."""
    with pytest.raises(NameInvalid):
        parse_name(text)


@pytest.mark.timeout(5)
def test_a_name_made_to_be_slow_is_refused_quickly() -> None:
    """RELIABILITY G23: no back-tracking without end."""
    for text in ("a" * 254 + "!", "a-" * 127, "a" + "-" * 253 + "!", "a__" * 85):
        with pytest.raises(NameInvalid):
            parse_name(text)


@given(st.one_of(st.text(max_size=140), st.from_regex(SPEC_TAG, fullmatch=True)))
def test_a_tag_is_what_the_specification_says(text: str) -> None:
    is_tag = re.fullmatch(SPEC_TAG, text, re.ASCII) is not None
    try:
        assert parse_tag(text) == text
        assert is_tag
    except TagInvalid:
        assert not is_tag


@pytest.mark.parametrize("text", ["", ".", "..", "-a", ".a", "a/b", "a:b", "a b", "a\n", "a" * 129, "\u0661", "a\0"])
def test_a_bad_tag_is_refused(text: str) -> None:
    with pytest.raises(TagInvalid):
        parse_tag(text)


def test_a_reference_with_a_colon_is_a_digest() -> None:
    digest = digest_of(b"")
    assert parse_reference(str(digest)) == digest
    assert parse_reference("latest") == "latest"
    with pytest.raises(DigestInvalid):
        parse_reference("sha256:short")
    with pytest.raises(TagInvalid):
        parse_reference("-")


repositories = st.builds(Repository, st.one_of(st.just(""), names), names)


@given(repositories, repositories)
def test_different_repositories_have_different_keys(one: Repository, other: Repository) -> None:
    """The same name cached from two upstreams is two repositories, and no key is the start of another."""
    assert (one.key() == other.key()) == (one == other)
    if one != other:
        assert not one.key().startswith(other.key())


def test_a_repository_prints_with_its_upstream() -> None:
    assert str(Repository(HOME, "docker.io", "library/nginx")) == "docker.io/library/nginx"
    assert str(Repository(HOME, "", "team/app")) == "team/app"
    assert Repository(HOME, "", "team/app").owned
    assert not Repository(HOME, "docker.io", "library/nginx").owned
