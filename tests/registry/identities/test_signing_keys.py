"""Signing keys: a new one each day, an old one while anything it signed is alive, whatever the clock does."""

import secrets
from typing import Any

import pytest

from mirror.registry.identities import SealBroken, Seals, SigningKeys

NOW = 1_800_000_000.0
HOUR = 3_600.0
DAY = 24 * HOUR


def kids(keys: SigningKeys) -> list[str]:
    return [key.kid for key in keys.accepted]


async def test_a_key_signs_for_a_day(world: Any) -> None:
    """A rotation before its time changes nothing."""
    first = world.keys.current
    await world.keys.rotate(NOW + DAY - 1)
    assert world.keys.current is first
    await world.keys.rotate(NOW + DAY)
    assert world.keys.current.kid != first.kid


async def test_an_old_key_is_accepted_until_all_that_it_signed_has_expired(world: Any) -> None:
    """Twelve hours from its last signature, and a margin."""
    first = world.keys.current.kid
    await world.keys.rotate(NOW + DAY)
    await world.keys.rotate(NOW + DAY + 12 * HOUR)
    assert world.keys.find(first) is not None
    await world.keys.rotate(NOW + DAY + 13 * HOUR)
    assert world.keys.find(first) is None


async def test_a_node_that_slept_keeps_the_key_that_signed_last(world: Any) -> None:
    """The key was the newest all that time: what counts is when it was followed, not when it was made."""
    first = world.keys.current.kid
    await world.keys.rotate(NOW + 10 * DAY)
    assert world.keys.find(first) is not None


async def test_keys_survive_a_restart_in_their_order(world: Any) -> None:
    """They are documents; what is accepted before is accepted after."""
    await world.keys.rotate(NOW + DAY)
    again = SigningKeys(world.documents, world.seals)
    again.load()
    assert kids(again) == kids(world.keys)
    assert again.current == world.keys.current
    await again.rotate(NOW + DAY + 1)
    assert kids(again) == kids(world.keys)


async def test_a_clock_that_jumps_takes_no_key_away(world: Any) -> None:
    """RELIABILITY G24: +10 years and back, and tokens of before are good."""
    first = world.keys.current.kid
    await world.keys.rotate(NOW + 3_650 * DAY)
    await world.keys.rotate(NOW + 60)
    await world.keys.rotate(NOW + 120)
    assert world.keys.find(first) is not None
    assert world.keys.current.created_at == NOW + 60
    assert len(kids(world.keys)) == 3


async def test_the_number_of_keys_has_a_limit(world: Any) -> None:
    """A clock gone mad fills no disk."""
    for turn in range(40):
        await world.keys.rotate(NOW + DAY * (turn % 2) * 1_000 - turn)
    assert len(kids(world.keys)) <= 16
    assert len(world.documents.all("node.key")) <= 16


async def test_a_store_of_another_master_key_does_not_start(world: Any) -> None:
    """A lost master key is told at start, not by refusals later."""
    with pytest.raises(SealBroken):
        SigningKeys(world.documents, Seals(secrets.token_bytes(32))).load()


async def test_no_key_stands_in_the_documents_or_in_a_repr(world: Any) -> None:
    """RELIABILITY G18."""
    key = world.keys.current
    for _, _, body in world.documents.all("node.key"):
        assert key.secret.hex().encode() not in body
        assert key.secret not in body
    assert repr(key.secret) not in repr(key)
