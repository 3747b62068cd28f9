"""Manifests in memory that a full disk did not take: for a while, and not too many."""

import pytest
from registries import HOME

from mirror.oci.digest import digest_of
from mirror.oci.names import Repository
from mirror.registry import unkept
from mirror.registry.unkept import UNKEPT_S, UnkeptManifests

APP = Repository(HOME, "docker.io", "library/app")
ONE, TWO = b"one", b"two!"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def put(table: UnkeptManifests, data: bytes, *tags: str) -> None:
    table.put(APP, digest_of(data), "application/json", data, tags)


def test_a_manifest_is_found_by_digest_and_tag_for_a_while() -> None:
    """Issue 5, section 2: a small, short-lived table."""
    clock = Clock()
    table = UnkeptManifests(clock)
    put(table, ONE, "v1")
    found = table.find(APP, digest_of(ONE))
    assert found is not None
    assert (found.data, table.tagged(APP, "v1"), table.any_of(APP)) == (ONE, digest_of(ONE), True)
    assert table.tagged(APP, "v2") is None
    assert table.find(Repository(HOME, "quay.io", "library/app"), digest_of(ONE)) is None
    clock.now = UNKEPT_S
    assert (table.find(APP, digest_of(ONE)), table.tagged(APP, "v1"), table.any_of(APP)) == (None, None, False)


def test_the_oldest_go_when_there_are_too_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN section 5: every buffer has a limit."""
    monkeypatch.setattr(unkept, "UNKEPT_BYTES_MAX", 6)
    table = UnkeptManifests(Clock())
    put(table, ONE, "v1")
    put(table, ONE, "v1")
    put(table, TWO, "v2")
    assert (table.find(APP, digest_of(ONE)), table.tagged(APP, "v1")) == (None, None)
    assert table.tagged(APP, "v2") == digest_of(TWO)
