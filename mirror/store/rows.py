"""Rows written whole, each over the one with its key if there is one: the same words for both engines."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


async def put_rows(connection: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Write `rows`, whose keys differ, in one statement."""
    if rows:
        await connection.execute(_put_statement(table, connection.dialect.name), rows)


@cache
def _put_statement(table: Table, dialect: str) -> "sqlite.Insert | postgresql.Insert":
    statement = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    others = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=others)
