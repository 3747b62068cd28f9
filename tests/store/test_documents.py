"""Documents: small texts by owner, kind and name: in memory, durable, with their changes in the log."""

import asyncio

import pytest
from registries import HOME

from mirror.oci.errors import SizeInvalid
from mirror.oci.names import Registry
from mirror.store.documents import BODY_BYTES_MAX, Edit
from mirror.store.store import Store

OTHER = Registry("222222222222")
PUBLIC = Registry(HOME.account, public=True)
NODE = Registry("")


async def test_a_document_is_read_by_owner_kind_and_name(store: Store) -> None:
    """documents.py: the private and the public registry of an account, and the node, are three owners."""
    for number, owner in enumerate((HOME, PUBLIC, NODE, OTHER)):
        await store.documents.write([Edit(owner, "user", "ci", b"%d" % number)])
    assert [store.documents.get(owner, "user", "ci") for owner in (HOME, PUBLIC, NODE, OTHER)] == [
        b"0",
        b"1",
        b"2",
        b"3",
    ]
    assert store.documents.get(HOME, "user", "nobody") is None
    assert store.documents.get(HOME, "role", "ci") is None


async def test_a_kind_is_listed_by_name_and_nothing_else_is(store: Store) -> None:
    """documents.py: `list` has one owner's documents of one kind, `all` everybody's."""
    for kind, name in (("user", "b"), ("user", "a"), ("users", "x"), ("use", "y"), ("user", "")):
        await store.documents.write([Edit(HOME, kind, name, name.encode())])
    await store.documents.write([Edit(OTHER, "user", "c", b"c")])
    assert store.documents.list(HOME, "user") == [("", b""), ("a", b"a"), ("b", b"b")]
    assert store.documents.all("user") == [(HOME, "", b""), (HOME, "a", b"a"), (HOME, "b", b"b"), (OTHER, "c", b"c")]


async def test_all_edits_are_made_or_none(store: Store) -> None:
    """documents.py: one SQL transaction; a text too long for one of them stops them all."""
    before = store.documents.generation
    with pytest.raises(SizeInvalid):
        await store.documents.write([Edit(HOME, "a", "", b"1"), Edit(HOME, "b", "", b"x" * (BODY_BYTES_MAX + 1))])
    assert store.documents.get(HOME, "a") is None
    assert store.documents.generation == before
    await store.documents.write([Edit(HOME, "a", "", b"1"), Edit(HOME, "b", "", b"2")])
    assert (store.documents.get(HOME, "a"), store.documents.get(HOME, "b")) == (b"1", b"2")
    assert store.documents.generation > before


async def test_documents_are_there_after_a_restart_and_their_texts_are_not_in_the_log(root) -> None:
    """changes.py: a document's text may be a secret: the log says only that it changed."""
    async with root.open() as store:
        await store.documents.write([Edit(HOME, "secret", "a", b"\x00hidden\xff"), Edit(HOME, "secret", "b", b"2")])
        await store.documents.write([Edit(HOME, "secret", "b", None)])
        assert store.documents.get(HOME, "secret", "b") is None
    async with root.open() as store:
        assert store.documents.list(HOME, "secret") == [("a", b"\x00hidden\xff")]
        changes = await store.catalog.changes(0, 10)
        assert [(change.kind, change.detail["name"], change.detail["there"]) for change in changes] == [
            ("document.changed", "a", True),
            ("document.changed", "b", True),
            ("document.changed", "b", False),
        ]
        assert "hidden" not in repr(changes)


async def test_writers_at_once_lose_nothing(store: Store) -> None:
    """ledger.py: waiting mutations share a commit; the map has what the rows have."""
    await asyncio.gather(*(store.documents.write([Edit(HOME, "n", f"{one:03}", b"%d" % one)]) for one in range(100)))
    assert [body for _, body in store.documents.list(HOME, "n")] == [b"%d" % one for one in range(100)]
    await asyncio.gather(*(store.documents.write([Edit(HOME, "n", f"{one:03}", None)]) for one in range(0, 100, 2)))
    assert len(store.documents.list(HOME, "n")) == 50


async def test_a_cursor_begins_now_and_moves(root) -> None:
    """cursors.py: a new consumer begins now; where one has come to survives a restart."""
    async with root.open() as store:
        await store.documents.write([Edit(HOME, "a", "", b"1")])
        assert await store.cursors.read("hook") == 1
        await store.documents.write([Edit(HOME, "a", "", b"2")])
        assert await store.cursors.read("hook") == 1
        await store.cursors.move("hook", 2)
    async with root.open() as store:
        assert await store.cursors.read("hook") == 2
        assert len(await store.catalog.changes(0, 10)) == 2, "moving a cursor is no change"
