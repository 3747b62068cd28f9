"""Migrations: the tables on disk are the tables in the code."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from registries import HOME
from sqlalchemy import Connection, create_engine, text

from mirror.store.adoption import adopt
from mirror.store.database import HEAD, Database
from mirror.store.tables import metadata


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


def layout(path: Path) -> dict[str, object]:
    """Say of each table what its columns, keys and indexes are, whatever their order and names."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name, sql LIKE '%AUTOINCREMENT%' FROM sqlite_master WHERE type = 'table'")
        return {name: (counts, *map(set, _parts(connection, name))) for name, counts in tables}


def _parts(connection: sqlite3.Connection, table: str) -> Iterator[list[tuple[object, ...]]]:
    yield [column[1:] for column in connection.execute(f"PRAGMA table_info({table})")]
    yield [key[2:] for key in connection.execute(f"PRAGMA foreign_key_list({table})")]
    indexes = connection.execute(f"PRAGMA index_list({table})").fetchall()
    yield [(unique, *_columns(connection, name)) for _, name, unique, *_ in indexes]


def _columns(connection: sqlite3.Connection, index: str) -> list[object]:
    return [name for _, _, name in connection.execute(f"PRAGMA index_info({index})")]


async def test_a_new_database_is_what_an_old_one_becomes_by_steps(tmp_path: Path) -> None:
    """tables.py: the same tables are made at once and by migrations/."""
    new, old = tmp_path / "new.db", tmp_path / "old.db"
    await asyncio.to_thread(make_old, old)
    for path in (new, old):
        database = await Database.open(path)
        async with database.write() as connection:
            assert await connection.run_sync(differences) == []
        await database.close()
    made = layout(new)
    assert made.keys() >= {table.name for table in metadata.sorted_tables}
    assert made == layout(old)


def test_the_newest_step_is_the_one_that_a_start_looks_for() -> None:
    """database.py: a start that finds HEAD does not import Alembic."""
    config = Config()
    config.set_main_option("script_location", "mirror.store:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


async def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    """database.py: bring the tables up to date, once."""
    for _ in range(2):
        database = await Database.open(tmp_path / "mirror.db")
        await database.close()


OLD = """
INSERT INTO repositories (id, upstream, name, created_at) VALUES (1, '', 'team/app', 1.0), (2, 'docker.io', 'x', 2.0);
INSERT INTO manifests (repository_id, digest, media_type, artifact_type, size, annotations, pushed_at)
  VALUES (1, 'sha256:{a}', 'image', '', 10, '{{}}', 3.0), (1, 'sha256:{b}', 'index', '', 20, '{{}}', 4.0);
INSERT INTO manifest_children (repository_id, manifest, digest, size, media_type, kind)
  VALUES (1, 'sha256:{a}', 'sha256:{c}', 100, 'layer', 'blob'), (1, 'sha256:{a}', 'sha256:{d}', 11, 'config', 'blob'),
         (1, 'sha256:{b}', 'sha256:{a}', 10, 'image', 'manifest');
INSERT INTO blob_links (repository_id, digest, size, media_type, linked_at) VALUES (1, 'sha256:{c}', 100, 'layer', 3.0);
INSERT INTO tags (repository_id, tag, digest, updated_at) VALUES (1, 'v1', 'sha256:{b}', 4.0);
INSERT INTO changes (at, upstream, repository, kind, detail) VALUES (1.0, '', 'team/app', 'repository.created', '{{}}');
"""


async def test_what_was_stored_before_there_were_registries_is_the_homes_own(tmp_path: Path) -> None:
    """Issue 3, section 1: state is per account; a node that had none gives what it has to its own."""
    path = tmp_path / "mirror.db"
    await asyncio.to_thread(make_old, path)
    database = await Database.open(path)
    await adopt(database, HOME)
    async with database.read() as connection:

        async def rows(statement: str) -> list[tuple[object, ...]]:
            return [tuple(row) for row in await connection.execute(text(statement))]

        named = "SELECT registry, upstream, name, settings FROM repositories ORDER BY id"
        assert await rows(named) == [(str(HOME), "", "team/app", "{}"), (str(HOME), "docker.io", "x", "{}")]
        assert await rows("SELECT registry, kind FROM changes") == [(str(HOME), "repository.created")]
        assert await rows("SELECT image_size, status FROM manifests ORDER BY pushed_at") == [(111, "ACTIVE")] * 2
        assert await rows("SELECT proven FROM blob_links") == [(1,)]
        assert await rows("SELECT count(*) FROM manifest_children") == [(3,)], "a table made anew keeps its children"
        assert await rows("PRAGMA foreign_key_check") == []
    await database.close()


def make_old(path: Path) -> None:
    """Make a database as the first release did."""
    config = Config()
    config.set_main_option("script_location", "mirror.store:migrations")
    config.set_main_option("path_separator", "os")
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        marks = {letter: letter * 64 for letter in "abcd"}
        for statement in OLD.format(**marks).strip().split(";\n"):
            connection.execute(text(statement.rstrip(";")))
    engine.dispose()
