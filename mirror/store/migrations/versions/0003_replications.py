"""Replications: what is to go to other registries, and what has gone there."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"
branch_labels: Final = None
depends_on: Final = None

_ID: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXTS: Final = ("registry", "region", "account", "repository", "action", "digest", "tag", "backfill")
_STATES: Final = ("status", "failure", "reason")


def upgrade() -> None:
    op.create_table(
        "replications",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in (*_TEXTS, *_STATES)),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("done_at", sa.Double()),
        sa.UniqueConstraint("registry", "region", "account", "repository", "action", "digest", "tag"),
        sqlite_autoincrement=True,
    )
    for columns in (
        ("region", "account", "status", "due_at"),
        ("registry", "repository", "digest"),
        ("backfill", "status"),
    ):
        op.create_index(f"ix_replications_{'_'.join(columns)}", "replications", columns)
