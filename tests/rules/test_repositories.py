"""Settings of a repository as they are stored, and the names repositories may have."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.aws.errors import InvalidParameter
from mirror.oci.errors import NameInvalid
from mirror.oci.names import parse_name
from mirror.rules.repositories import (
    RepositorySettings,
    check_private_name,
    check_public_name,
    encode,
    read_settings,
)

FRAME = "Invalid parameter at 'repositoryName' failed to satisfy constraint: '"
GRAMMAR = FRAME + r"must satisfy regular expression '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*'"
SHORT = FRAME + "Member must have length greater than or equal to 2'"

NAMES = [
    ("ab", True, True),
    ("a/b", True, True),
    ("team-a/my_app.x/img1", True, True),
    ("a--b", True, False),
    ("a__b", True, False),
    ("a---b/c", True, False),
    ("a___b", False, False),
    ("a..b", False, False),
    ("a._b", False, False),
    ("/a", False, False),
    ("a/", False, False),
    ("a//b", False, False),
    ("-a", False, False),
    ("a-", False, False),
    ("Ab", False, False),
    ("ab\n", False, False),
    ("a b", False, False),
    ("a\u0661", False, False),
    ("a*", False, False),
]


@pytest.mark.parametrize(("name", "is_private", "is_public"), NAMES)
def test_a_name_is_judged_by_the_grammar_of_its_service(name: str, is_private: bool, is_public: bool) -> None:
    """ECR.md appendix A, RepositoryName of both services; 1.3, "InvalidParameter (name)"."""
    for check, is_good in ((check_private_name, is_private), (check_public_name, is_public)):
        if is_good:
            check(name)
        else:
            with pytest.raises(InvalidParameter) as caught:
                check(name)
            assert caught.value.message == GRAMMAR


def test_a_name_has_2_to_256_characters_or_205_in_public() -> None:
    """ECR.md appendix A."""
    check_private_name("a" * 256)
    check_public_name("a" * 205)
    for check, name, message in [
        (check_private_name, "", SHORT),
        (check_public_name, "a", SHORT),
        (check_private_name, "a" * 257, FRAME + "Member must have length less than or equal to 256'"),
        (check_public_name, "a" * 206, FRAME + "Member must have length less than or equal to 205'"),
    ]:
        with pytest.raises(InvalidParameter) as caught:
            check(name)
        assert caught.value.message == message


@given(st.text("ab0._-/", min_size=2, max_size=12))
def test_a_private_name_is_what_docker_clients_may_call_a_repository(name: str) -> None:
    """OCI distribution-spec's <name> and ECR's private grammar are one; the public one is narrower."""
    verdicts = []
    for check, refusal in ((parse_name, NameInvalid), (check_private_name, InvalidParameter)):
        try:
            check(name)
        except refusal:
            verdicts.append(False)
        else:
            verdicts.append(True)
    assert verdicts[0] == verdicts[1]


def test_settings_nobody_chose_take_no_room() -> None:
    """ECR.md 1.3, "Repository object": MUTABLE, no scan on push, AES256."""
    assert encode(RepositorySettings(1.5)) == b'{"created_at":1.5}'
    assert read_settings(b'{"created_at":1.5}') == RepositorySettings(1.5)
    assert read_settings(b"") == RepositorySettings(0.0)


def test_settings_are_read_as_they_were_written() -> None:
    settings = RepositorySettings(
        created_at=1563223656.25,
        mutability="IMMUTABLE_WITH_EXCLUSION",
        exclusions=("dev-*",),
        scan_on_push=True,
        encryption="KMS",
        kms_key="arn:aws:kms:eu-west-1:123456789012:key/1",
        tags={"team": "a", "": "é"},
        policy='{"Statement":[]}',
    )
    assert read_settings(encode(settings)) == settings


def test_the_defaults_are_each_repositorys_own() -> None:
    """A tag put into one repository's settings must not turn up in another's."""
    one = RepositorySettings(0.0)
    one.tags["k"] = "v"
    assert RepositorySettings(0.0).tags == {}


@pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b'{"created_at":"x"}'])
def test_what_was_never_written_is_an_error(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_settings(data)
