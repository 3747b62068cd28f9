"""Migrations: the tables on disk are the tables in the code."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from mirror.store.database import HEAD, Database
from mirror.store.tables import metadata


async def test_the_steps_make_the_tables_that_the_code_knows(tmp_path: Path) -> None:
    """tables.py: the same tables are made by migrations/."""

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    database = await Database.open(tmp_path / "mirror.db")
    async with database.write() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


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
