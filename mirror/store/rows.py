"""Rows written whole, over those with their keys or only where there are none: the same words for both engines."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import Select, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

LISTED_MAX: Final = 512  # a page; what is longer is rare, and SQLite takes 32,766 values at most


def listed(values: Iterable[str]) -> list[str]:
    """Write values for an IN, the last one again and again up to a power of two; more than LISTED_MAX as they are.

    The driver keeps 128 statements a connection, and each length is one of its own: 40 KB for a hundred digests.
    """
    found = list(values)
    if not 0 < len(found) <= LISTED_MAX:
        return found
    return found + found[-1:] * ((1 << (len(found) - 1).bit_length()) - len(found))


async def put_rows(connection: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Write `rows`, whose keys differ, in one statement."""
    if rows:
        await connection.execute(_put_statement(table, connection.dialect.name), rows)


async def add_rows(connection: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Write those of `rows` whose key is not there yet."""
    if rows:
        await connection.execute(_insert(table, connection.dialect.name).on_conflict_do_nothing(), rows)


async def put_selected(connection: AsyncConnection, table: Table, columns: Sequence[str], rows: Select[Any]) -> None:
    """Write what a SELECT finds, over the rows with its keys. It must have a WHERE."""
    statement = _insert(table, connection.dialect.name).from_select(list(columns), rows)
    await connection.execute(_over(statement, table, columns))


@cache
def _put_statement(table: Table, dialect: str) -> "sqlite.Insert | postgresql.Insert":
    return _over(_insert(table, dialect), table, table.columns.keys())


def _over(
    statement: "sqlite.Insert | postgresql.Insert", table: Table, columns: Sequence[str]
) -> "sqlite.Insert | postgresql.Insert":
    others = {name: statement.excluded[name] for name in columns if not table.c[name].primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=others)


def _insert(table: Table, dialect: str) -> "sqlite.Insert | postgresql.Insert":
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
