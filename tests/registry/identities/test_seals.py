"""Seals: a secret opens under its own key, for its own owner, unchanged, and not otherwise."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.registry.identities import SealBroken, Seals, SealsUnusable, open_seals

SEALS = Seals(bytes(range(32)))


@given(st.binary(max_size=200), st.text(max_size=40))
def test_what_is_sealed_opens_for_its_owner(plain: bytes, of: str) -> None:
    """NIST SP 800-38D: authenticated encryption gives back what went in."""
    assert SEALS.open(SEALS.seal(plain, of), of) == plain


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_changed_bit_breaks_the_seal(plain: bytes, data: st.DataObject) -> None:
    """No byte of a sealed text can be changed, its form and nonce included."""
    sealed = bytearray(SEALS.seal(plain, "of"))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealBroken):
        SEALS.open(bytes(sealed), "of")


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + bytes(12), b"\x01" + bytes(40), b"\x02" + bytes(40)])
def test_a_text_that_was_never_sealed_does_not_open(sealed: bytes) -> None:
    """A short or foreign text is refused, never an index error."""
    with pytest.raises(SealBroken):
        SEALS.open(sealed, "of")


def test_a_sealed_secret_cannot_be_moved_to_another_owner() -> None:
    """The owner is authenticated: a key's secret pasted into another key's place is worth nothing."""
    sealed = SEALS.seal(b"secret", "access-key/AKIA1")
    with pytest.raises(SealBroken) as caught:
        SEALS.open(sealed, "access-key/AKIA2")
    assert "secret" not in str(caught.value).replace("access-key", "")


def test_another_key_does_not_open() -> None:
    """A lost master key cannot be replaced by a new one unnoticed."""
    with pytest.raises(SealBroken):
        Seals(bytes(32)).open(SEALS.seal(b"x", "of"), "of")


def test_the_same_secret_never_looks_the_same() -> None:
    """Random nonces: equal secrets are not seen to be equal."""
    assert SEALS.seal(b"x", "of") != SEALS.seal(b"x", "of")


def test_the_first_start_makes_a_random_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    """RELIABILITY A24: the first start makes random secrets."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    open_seals(tmp_path / "a")
    open_seals(tmp_path / "b")
    key = tmp_path / "a" / "secrets.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_bytes()) == 32
    assert key.read_bytes() != (tmp_path / "b" / "secrets.key").read_bytes()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["secrets.key"]


def test_a_second_start_keeps_the_key(tmp_path: Path) -> None:
    """The key is never written over: all secrets would be lost."""
    sealed = open_seals(tmp_path).seal(b"x", "of")
    assert open_seals(tmp_path).open(sealed, "of") == b"x"


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o777])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """A master key that somebody else may have read protects nothing."""
    open_seals(tmp_path)
    (tmp_path / "secrets.key").chmod(mode)
    with pytest.raises(SealsUnusable, match="others"):
        open_seals(tmp_path)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, size: int) -> None:
    """A cut or foreign file is not made into a key."""
    key = tmp_path / "secrets.key"
    key.write_bytes(bytes(size))
    key.chmod(0o600)
    with pytest.raises(SealsUnusable, match="32 bytes"):
        open_seals(tmp_path)
    assert len(key.read_bytes()) == size
