"""The store: files, database and index of one root, opened in the order that makes them agree.

Source: DESIGN section 2; RELIABILITY 3.1, "Start-up". What a crash left behind is put right here, before anything is
served: half-written files go, the index takes in what the log has behind its cursor, and what was written last is
looked at. A missing or damaged index is built again.
"""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import structlog

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.names import Registry
from mirror.store.adoption import adopt
from mirror.store.archive import Archive
from mirror.store.archiving import Archiving
from mirror.store.catalog import Catalog
from mirror.store.changelog import last_seq, recent_changes
from mirror.store.changes import Change
from mirror.store.collection import Collection
from mirror.store.cursors import Cursors
from mirror.store.database import Database
from mirror.store.disk import sync_directory
from mirror.store.documents import Documents, read_documents
from mirror.store.environment import IndexDamaged
from mirror.store.eviction import EvictionRows
from mirror.store.examination import missing
from mirror.store.files import Files
from mirror.store.guard import GRACE_S, Guard
from mirror.store.holders import Holders
from mirror.store.images import Images
from mirror.store.index import Index
from mirror.store.ledger import Ledger
from mirror.store.lifecycles import LifecycleRows
from mirror.store.losses import Losses
from mirror.store.news import News
from mirror.store.pruning import Pruning
from mirror.store.purges import Purges
from mirror.store.rebuild import Progress, rebuild, replay, unseen
from mirror.store.replications import Replications
from mirror.store.reserve import Reserve
from mirror.store.space import Space
from mirror.store.uploads import Uploads

RECENT_CHANGES: Final = 200  # looked at after a start: more than a disk's cache can have held back
SAMPLE_BLOBS: Final = 2_000  # entries followed to their files at a start, recent ones first: some 10 ms

Spawn = Callable[[Coroutine[Any, Any, None], str], object]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Store:
    """All that is on this node's disk. Use with `async with Store.open(...)`."""

    files: Files
    uploads: Uploads
    index: Index
    catalog: Catalog
    images: Images
    lifecycles: LifecycleRows
    purges: Purges
    documents: Documents
    cursors: Cursors
    replications: Replications
    news: News
    guard: Guard
    space: Space
    reserve: Reserve
    collection: Collection
    holders: Holders
    losses: Losses
    archiving: Archiving
    eviction: EvictionRows
    pruning: Pruning
    database: Database

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        root: Path,
        spawn: Spawn,
        *,
        home: Registry,
        rebuilt: bool = False,
        progress: Progress = unseen,
        grace_s: float = GRACE_S,
        archive_root: Path | None = None,
    ) -> AsyncIterator["Store"]:
        """Open the store at `root`, making it if need be; `rebuilt` builds the index anew whatever its state.

        `home` is the registry of what was stored before there were several. `spawn` starts the ledger's loop in a
        task of the node; it ends when this block does. `grace_s`: how long a blob stays that nobody names.
        `archive_root`: where bytes go that only archived images need; that it is not there keeps nobody from opening.

        Raises StoreLocked, StorageFull and OSError.
        """
        async with AsyncExitStack() as stack:
            files = await asyncio.to_thread(Files, root)
            stack.callback(files.close)
            archive = Archive(files, archive_root)
            await asyncio.to_thread(archive.attach)
            reserve = Reserve(root)
            await asyncio.to_thread(reserve.lend)
            database = await Database.open(root / "mirror.db")
            stack.push_async_callback(database.close)
            await adopt(database, home)
            index = await _open_index(root / "index.lmdb", database, files, progress, rebuilt=rebuilt)
            stack.push_async_callback(index.close)
            # The names of the database and the index are new after a first start; nothing else makes them safe.
            await asyncio.to_thread(sync_directory, root)
            guard, space, holders = Guard(grace_s), Space(root), Holders(database)
            ledger = Ledger(database, index, files, await read_documents(database), guard, reserve)
            store = cls(
                files=files,
                uploads=Uploads(files, space),
                index=index,
                catalog=Catalog(database, ledger),
                images=Images(database, ledger),
                lifecycles=LifecycleRows(database, ledger),
                purges=Purges(database, ledger),
                documents=Documents(ledger),
                cursors=Cursors(database, ledger),
                replications=Replications(database, ledger),
                news=ledger.news,
                guard=guard,
                space=space,
                reserve=reserve,
                collection=Collection(database, ledger, index, files, guard),
                holders=holders,
                losses=Losses(files, index, holders, guard),
                archiving=Archiving(archive, files, index, database, guard, space),
                eviction=EvictionRows(database, ledger),
                pruning=Pruning(database, ledger),
                database=database,
            )
            replayed = await replay(database, index, files)
            await _look_at_recent(store)
            await asyncio.to_thread(reserve.make)
            spawn(ledger.run(), "store.ledger")
            stack.push_async_callback(ledger.stop)
            _log.info("store open", root=os.fspath(root), sqlite=sqlite3.sqlite_version, changes_replayed=replayed)
            yield store


async def _open_index(path: Path, database: Database, files: Files, progress: Progress, *, rebuilt: bool) -> Index:
    seq = await last_seq(database)
    if not rebuilt:
        try:
            return await _open_built(path, seq)
        except IndexDamaged as damage:
            if seq:
                _log.warning("index is built again", reason=str(damage))
    await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
    index = await Index.open(path)
    try:
        await rebuild(database, index, files, progress)
    except BaseException:
        await index.close()
        raise
    return index


async def _open_built(path: Path, seq: int) -> Index:
    index = await Index.open(path)
    try:
        index.check_built(seq)
    except BaseException:
        await index.close()
        raise
    return index


async def _look_at_recent(store: Store) -> None:
    """Follow what was written last, and a sample of the rest, to the files; what is gone is a miss from now on."""
    recent = await recent_changes(store.database, RECENT_CHANGES)
    digests = dict.fromkeys(islice(_digests(recent), SAMPLE_BLOBS // 2))
    some_key = os.urandom(32)
    for mark in (b"\x01", b"\x02"):
        digests |= dict.fromkeys(digest for digest, _ in store.index.blobs_after(mark + some_key, SAMPLE_BLOBS // 4))
    for fault in await missing(store.files, store.index, list(digests)):
        if not await store.losses.repair(fault):
            _log.error("blob lost", fault=fault.kind, digest=str(fault.digest))


def _digests(changes: Iterable[Change]) -> Iterator[Digest]:
    for change in changes:
        if change.digest is not None:
            yield change.digest
        for digest, _, _ in change.detail.get("blobs", ()):
            yield parse_digest(digest)
