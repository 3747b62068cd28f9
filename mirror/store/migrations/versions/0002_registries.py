"""Registries: every repository belongs to one; settings, documents, cursors; images know their size and status.

What was there before belongs to the registry "" until the store gives it the node's own account.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"
branch_labels: Final = None
depends_on: Final = None

_ID: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# SQLite keeps no name of a table's constraints; this is how those of 0001 are found.
_NAMES: Final = {"uq": "uq_%(table_name)s_%(column_0_N_name)s"}


def upgrade() -> None:
    _repositories()
    _manifests()
    with op.batch_alter_table("blob_links") as table:
        table.add_column(sa.Column("proven", sa.Boolean(), nullable=False, server_default=sa.true()))
    with op.batch_alter_table("blob_links") as table:
        table.alter_column("proven", server_default=None)
    with op.batch_alter_table("changes", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(sa.Column("registry", sa.Text(), nullable=False, server_default=""))
    with op.batch_alter_table("changes", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.alter_column("registry", server_default=None)
    _documents()


def _repositories() -> None:
    with op.batch_alter_table("repositories", naming_convention=_NAMES) as table:
        table.add_column(sa.Column("registry", sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("settings", sa.Text(), nullable=False, server_default="{}"))
        table.drop_constraint("uq_repositories_upstream_name", type_="unique")
        table.create_unique_constraint("uq_repositories_registry_upstream_name", ["registry", "upstream", "name"])
    with op.batch_alter_table("repositories") as table:
        table.alter_column("registry", server_default=None)
        table.alter_column("settings", server_default=None)


def _manifests() -> None:
    with op.batch_alter_table("manifests") as table:
        table.add_column(sa.Column("image_size", sa.BigInteger(), nullable=False, server_default="0"))
        table.add_column(sa.Column("status", sa.Text(), nullable=False, server_default="ACTIVE"))
        table.add_column(sa.Column("archived_at", sa.Double()))
        table.add_column(sa.Column("activated_at", sa.Double()))
        table.add_column(sa.Column("pulled_at", sa.Double()))
    with op.batch_alter_table("manifests") as table:
        table.alter_column("image_size", server_default=None)
        table.alter_column("status", server_default=None)
    op.execute(
        "UPDATE manifests SET image_size = coalesce((SELECT sum(c.size) FROM manifest_children c WHERE "
        "c.repository_id = manifests.repository_id AND c.manifest = manifests.digest AND c.kind <> 'manifest'), 0)"
    )
    # Lists after images: their size is that of the largest child. One level is all that clients make.
    op.execute(
        "UPDATE manifests SET image_size = (SELECT max(m.image_size) FROM manifest_children c JOIN manifests m "
        "ON m.repository_id = c.repository_id AND m.digest = c.digest WHERE c.kind = 'manifest' "
        "AND c.repository_id = manifests.repository_id AND c.manifest = manifests.digest) "
        "WHERE EXISTS (SELECT 1 FROM manifest_children c JOIN manifests m ON m.repository_id = c.repository_id "
        "AND m.digest = c.digest WHERE c.kind = 'manifest' AND c.repository_id = manifests.repository_id "
        "AND c.manifest = manifests.digest)"
    )


def _documents() -> None:
    op.create_table(
        "repository_documents",
        sa.Column("repository_id", _ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "kind"),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], ondelete="CASCADE"),
    )
    op.create_table(
        "documents",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "kind", "name"),
    )
    op.create_table(
        "cursors",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
    )
