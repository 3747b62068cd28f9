"""IAM's grammars and shapes: what a name may be, and what an entity says of itself."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.aws.errors import IamValidationError
from mirror.rules.identities import (
    DeclaredKey,
    DeclaredUser,
    Role,
    User,
    account_of_policy,
    holder_arn,
    is_key_id,
    is_secret,
    policy_name_of,
    read_alias,
    read_name,
    read_path,
    read_policy_name,
    read_session_name,
    role_principal,
    user_principal,
)

ACCOUNT = "123456789012"
LETTERS = "ABCXYZabcxyz0189_+=,.@-"


@given(st.text(LETTERS, min_size=1, max_size=64))
def test_every_name_of_the_grammar_is_read(name: str) -> None:
    r"""IAM: [\w+=,.@-]+, 64 characters at most."""
    assert read_name("userName", name) == name


@given(st.text(max_size=8))
def test_nothing_else_is_a_name(name: str) -> None:
    r"""RELIABILITY A36: `\w` would take letters of other scripts."""
    is_name = bool(name) and all(char.isascii() and (char.isalnum() or char in "_+=,.@-") for char in name)
    if is_name:
        assert read_name("userName", name) == name
    else:
        with pytest.raises(IamValidationError):
            read_name("userName", name)


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (lambda text: read_policy_name("policyName", text), ["p", "p" * 128], ["", "p" * 129, "a/b", "a\n"]),
        (read_session_name, ["ab", "a" * 64, "me@example.com"], ["", "a", "a" * 65, "a b", "ab\n", "a:b"]),
        (read_path, ["/", "/a/", "/a/b/", "/!~/"], ["", "a", "/a", "a/", "/ /", "/\xe9/", "/a/\n", f"/{'a' * 511}/"]),
        (read_alias, ["abc", "a-b", "a" * 63, "a1b"], ["", "ab", "a" * 64, "-ab", "ab-", "a--b", "aBc", ACCOUNT]),
    ],
)  # fmt: skip
def test_a_grammar_takes_the_good_and_refuses_the_bad(read: object, good: list[str], bad: list[str]) -> None:
    """IAM and STS API references: patterns and lengths."""
    for text in good:
        assert read(text) == text  # type: ignore[operator]
    for text in bad:
        with pytest.raises(IamValidationError):
            read(text)  # type: ignore[operator]


def test_ids_of_sessions_are_no_ids_of_keys() -> None:
    """ASIA is what a session's key begins with; a file cannot declare one."""
    assert [is_key_id(text) for text in ("AKIAEXAMPLE", "AKIDEXAMPLE", "a_b", "ASIAX", "ab", "a b", "a" * 129)] == [
        True,
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_a_secret_is_one_word_of_ascii() -> None:
    """It is a key of an HMAC, typed by people and read from files."""
    good, bad = ["secret", "wJalrXUtnFEMI/K7MDENG+bPxRfiCY="], ["", "a b", "a\n", "\u00e9", "a" * 129]
    assert all(map(is_secret, good))
    assert not any(map(is_secret, bad))


@pytest.mark.parametrize(
    ("arn", "account"),
    [
        ("arn:aws:iam::aws:policy/AdministratorAccess", "aws"),
        (f"arn:aws:iam::{ACCOUNT}:policy/team/pull", ACCOUNT),
        (f"arn:aws:iam::{ACCOUNT}:role/pull", None),
        (f"arn:aws:s3::{ACCOUNT}:policy/pull", None),
        ("policy/pull", None),
        ("", None),
    ],
)
def test_a_policys_arn_names_its_account(arn: str, account: str | None) -> None:
    """IAM guide, "IAM identifiers"."""
    assert account_of_policy(arn) == account
    if account:
        assert policy_name_of(arn) in ("AdministratorAccess", "pull")


def test_an_entity_survives_being_kept() -> None:
    """Documents hold JSON."""
    user = User(name="ci", id="AIDAX", path="/team/", inline={"own": "{}"}, attached=("a", "b"), keys=("AKIAX",))
    role = Role(name="deploy", id="AROAX", trust="{}")
    assert msgspec.json.decode(msgspec.json.encode(user), type=User) == user
    assert msgspec.json.decode(msgspec.json.encode(role), type=Role) == role
    assert holder_arn(ACCOUNT, user) == user_principal(ACCOUNT, user).arn == f"arn:aws:iam::{ACCOUNT}:user/team/ci"
    assert role_principal(ACCOUNT, role, "night").principal_arn == holder_arn(ACCOUNT, role)


def test_declared_secrets_are_in_no_repr() -> None:
    """RELIABILITY G18."""
    user = DeclaredUser(ACCOUNT, "ci", (DeclaredKey("AKIAX", "canary-1"),), "canary-2")
    assert "canary" not in repr(user)
