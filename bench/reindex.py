"""How long a store of a million blobs takes to be indexed again, to be backed up and to be restored.

A synthetic store: images of one config, eight layers and a manifest, in repositories of a hundred. Its files are real
ones with sizes of real ones, but layers are holes, for nothing reads them here: the index takes in small files whole,
of the others their size. `--cold` empties the caches of the whole machine before each step, and takes root.
`python -m bench.reindex` writes its rows into bench/RESULTS.md, with `--quick` (10,000 blobs) it does not.
"""

import argparse
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

from bench.content import MANIFEST_TYPE, MIB
from bench.measure import ROOT, machine, record
from mirror.store.files import Files

BLOBS: Final = 1_000_000
BLOBS_QUICK: Final = 10_000
LAYERS: Final = 8
BLOBS_IMAGE: Final = LAYERS + 2
IMAGES_REPOSITORY: Final = 100
LAYER_BYTES: Final = 8 * MIB
CONFIG_BYTES: Final = 3_000
PAGE_IMAGES: Final = 1_000
AT: Final = 1_700_000_000.0
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
MIRROR: Final = (sys.executable, "-c", "from mirror.cli import main; main()")
STEP_S_MAX: Final = 3_600.0
DROPPER: Final = Path("/proc/sys/vm/drop_caches")


@dataclass(frozen=True, slots=True)
class Spent:
    """What a command took: on a machine that others use too, its CPU tells more than the clock."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Made:
    """One image: what its files hold. A layer's digest is of its number: nobody hashes it here."""

    number: int
    config: bytes
    layers: tuple[str, ...]

    @property
    def repository(self) -> int:
        return 1 + self.number // IMAGES_REPOSITORY

    @property
    def blobs(self) -> list[tuple[str, int, str]]:
        layers = [(layer, LAYER_BYTES, LAYER_TYPE) for layer in self.layers]
        return [(digest(self.config), len(self.config), CONFIG_TYPE), *layers]

    def manifest(self) -> bytes:
        described = [{"mediaType": kind, "digest": name, "size": size} for name, size, kind in self.blobs]
        body = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": described[0], "layers": described[1:]}
        return orjson.dumps(body)


def digest(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


def images(count: int) -> Iterator[Made]:
    for number in range(count):
        config = orjson.dumps({"image": number, "history": "." * CONFIG_BYTES})
        yield Made(number, config, tuple(digest(f"{number}.{layer}".encode()) for layer in range(LAYERS)))


def make_store(root: Path, blobs: int) -> None:
    """Have the node make an empty store, and fill it as `blobs` blobs' pushes would have."""
    Files(root).close()
    _mirror("repo", "list", "--data", str(root))
    made = images(blobs // BLOBS_IMAGE)
    with ThreadPoolExecutor(4) as pool, closing(sqlite3.connect(root / "mirror.db")) as database:
        database.execute("PRAGMA synchronous=OFF")
        while page := list(islice(made, PAGE_IMAGES)):
            list(pool.map(lambda image: _write_files(root, image), page))
            _write_rows(database, page)
            database.commit()


def _write_files(root: Path, image: Made) -> None:
    for data in (image.config, image.manifest()):
        _path(root, digest(data)).write_bytes(data)
    for layer in image.layers:
        descriptor = os.open(_path(root, layer), os.O_WRONLY | os.O_CREAT, 0o600)
        os.truncate(descriptor, LAYER_BYTES)
        os.close(descriptor)


def _path(root: Path, name: str) -> Path:
    algorithm, _, digits = name.partition(":")
    return root / "blobs" / algorithm / digits[:2] / digits


def _write_rows(database: sqlite3.Connection, page: Sequence[Made]) -> None:
    for repository in sorted({image.repository for image in page}):
        row = {"id": repository, "registry": "000000000000", "upstream": "", "name": f"team/app{repository}"}
        _insert(
            database, "repositories", [{**row, "created_at": AT, "settings": orjson.dumps({"created_at": AT}).decode()}]
        )
    for image in page:
        manifest = image.manifest()
        owner = {"repository_id": image.repository}
        row = {**owner, "digest": digest(manifest), "media_type": MANIFEST_TYPE, "artifact_type": "", "subject": None}
        row |= {"size": len(manifest), "annotations": "{}", "pushed_at": AT, "status": "ACTIVE"}
        _insert(database, "manifests", [row | {"image_size": LAYERS * LAYER_BYTES}])
        parts = [{**owner, "digest": name, "size": size, "media_type": kind} for name, size, kind in image.blobs]
        _insert(database, "blob_links", [part | {"linked_at": AT, "proven": True} for part in parts])
        _insert(
            database, "manifest_children", [part | {"manifest": digest(manifest), "kind": "blob"} for part in parts]
        )
        tag = {"tag": f"v{image.number}", "digest": digest(manifest), "updated_at": AT}
        _insert(database, "tags", [owner | tag])


def _insert(database: sqlite3.Connection, table: str, rows: Sequence[dict[str, Any]]) -> None:
    columns = ", ".join(rows[0])
    values = ", ".join(f":{name}" for name in rows[0])
    database.executemany(f"INSERT INTO {table} ({columns}) VALUES ({values})", rows)


def _mirror(*words: str) -> Spent:
    """Run a command; return what it took."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*MIRROR, *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=STEP_S_MAX)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(time.monotonic() - began, cpu_s)


def measure(scratch: Path, *, cold: bool) -> dict[str, Spent]:
    """Time each step over the store at `scratch`/store."""
    root, kept, new = (str(scratch / name) for name in ("store", "backup", "new"))
    steps = {
        "mirror reindex": ("reindex", "--data", root),
        "mirror backup, by links": ("backup", kept, "--data", root),
        "mirror backup again": ("backup", kept, "--data", root),
        "mirror restore, by links": ("restore", kept, "--data", new),
    }
    rows = {}
    for name, words in steps.items():
        if cold:
            os.sync()
            DROPPER.write_text("3")
        rows[name] = _mirror(*words)
        print(f"{name}: {rows[name]}", file=sys.stderr)
    return rows


def table(rows: Mapping[str, Spent], blobs: int, *, cold: bool) -> str:
    caches = "caches empty" if cold else "caches warm"
    text = f"\n## A store of {blobs:,} blobs, {caches}: {machine()}\n\n"
    text += "| what | seconds | CPU seconds | blobs/s |\n| --- | --- | --- | --- |\n"
    for name, spent in rows.items():
        text += f"| {name} | {spent.wall_s:.1f} | {spent.cpu_s:.1f} | {blobs / spent.wall_s:,.0f} |\n"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description="a large store: indexed again, backed up, restored")
    parser.add_argument("--quick", action="store_true", help="10,000 blobs: shows that it works")
    parser.add_argument("--cold", action="store_true", help="with empty caches; takes root")
    parser.add_argument("--scratch", type=Path, help="where the store is made")
    options = parser.parse_args()
    blobs = BLOBS_QUICK if options.quick else BLOBS
    scratch = Path(tempfile.mkdtemp(prefix="bench-", dir=options.scratch))
    try:
        make_store(scratch / "store", blobs)
        rows = measure(scratch, cold=options.cold)
    finally:
        shutil.rmtree(scratch)
    text = table(rows, blobs, cold=options.cold)
    record(text, kept=not options.quick)


if __name__ == "__main__":
    main()
