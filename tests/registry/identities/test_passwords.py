"""Passwords: right ones match, wrong ones do not, and a pull of many blobs hashes once."""

import asyncio
import time

import pytest

from mirror.oci.errors import Unavailable
from mirror.registry.identities import Passwords, passwords


async def test_a_password_matches_its_own_hash_only() -> None:
    """RFC 7914."""
    kept = Passwords(2)
    stored = await kept.hash("correct horse")
    assert await kept.matches(stored, "correct horse")
    for wrong in ("correct horse ", "Correct horse", "", "correct hors\xe9"):
        assert not await kept.matches(stored, wrong)


async def test_equal_passwords_have_different_hashes() -> None:
    """Salted: a list of hashes does not tell who shares a password."""
    kept = Passwords(2)
    assert await kept.hash("same") != await kept.hash("same")


async def test_a_hash_names_its_cost_so_that_it_can_grow() -> None:
    """A hash of before a change of cost is still good."""
    stored = await Passwords(2).hash("old")
    assert await Passwords(16).matches(stored, "old")


async def test_a_pull_of_many_blobs_hashes_once() -> None:
    """Forty requests with the same password, one after the login."""
    kept = Passwords(2)
    stored = await kept.hash("right")
    before = kept.turns
    assert await kept.matches(stored, "right")
    assert all(await asyncio.gather(*(kept.matches(stored, "right") for _ in range(40))))
    assert kept.turns - before == 1


async def test_forty_at_once_hash_no_more_than_the_machine_can() -> None:
    """Those who waited for a turn see what the first ones found."""
    kept = Passwords(2)
    stored = await kept.hash("right")
    hashed = 0
    original = passwords._scrypt

    def counted(password: bytes, cost: int, salt: bytes) -> bytes:
        nonlocal hashed
        hashed += 1
        return original(password, cost, salt)

    passwords._scrypt = counted
    try:
        assert all(await asyncio.gather(*(kept.matches(stored, "right") for _ in range(40))))
    finally:
        passwords._scrypt = original
    assert 1 <= hashed <= passwords.HASHING_MAX


async def test_a_wrong_password_is_hashed_each_time() -> None:
    """Only what was right is remembered."""
    kept = Passwords(2)
    stored = await kept.hash("right")
    before = kept.turns
    for _ in range(3):
        assert not await kept.matches(stored, "wrong")
    assert kept.turns - before == 3


async def test_a_user_that_is_not_there_costs_a_hash_too() -> None:
    """RELIABILITY A23: an answer's time does not tell whether a user exists."""
    kept = Passwords(2)
    for _ in range(2):
        before = kept.turns
        assert not await kept.matches(None, "whatever")
        assert kept.turns - before == 1


async def test_a_changed_password_is_not_remembered_as_right() -> None:
    """The memory is of this hash with this password."""
    kept = Passwords(2)
    old = await kept.hash("old")
    assert await kept.matches(old, "old")
    assert not await kept.matches(await kept.hash("new"), "old")


async def test_what_was_right_is_forgotten_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory is short."""
    kept = Passwords(2)
    stored = await kept.hash("right")
    await kept.matches(stored, "right")
    later = time.monotonic() + passwords.MEMO_S
    monkeypatch.setattr(passwords.time, "monotonic", lambda: later)
    before = kept.turns
    assert await kept.matches(stored, "right")
    assert kept.turns - before == 1


async def test_the_memory_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """RELIABILITY A2: nothing grows without bound."""
    monkeypatch.setattr(passwords, "MEMO_ENTRIES_MAX", 3)
    kept = Passwords(2)
    for name in "abcdef":
        assert await kept.matches(await kept.hash(name), name)
    assert len(kept._right) == 3


async def test_too_many_at_once_are_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of logins is refused with 503, not queued for minutes."""
    monkeypatch.setattr(passwords, "WAITING_MAX", 4)
    kept = Passwords(2)
    answers = await asyncio.gather(*(kept.matches(None, str(n)) for n in range(10)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert len(refused) == 6
    assert refused[0].headers["Retry-After"]
    assert not await kept.matches(None, "later")
