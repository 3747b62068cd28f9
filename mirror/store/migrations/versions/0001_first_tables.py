"""The first tables: repositories, manifests with children, blob links, tags, and the change log."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None
branch_labels: Final = None
depends_on: Final = None

_ID: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _repositories()
    _manifests()
    _manifest_children()
    _blob_links()
    _tags()
    _changes()


def _repository_key() -> "tuple[sa.Column[int], sa.ForeignKeyConstraint]":
    return (
        sa.Column("repository_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], ondelete="CASCADE"),
    )


def _repositories() -> None:
    op.create_table(
        "repositories",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("upstream", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.UniqueConstraint("upstream", "name"),
    )


def _manifests() -> None:
    op.create_table(
        "manifests",
        *_repository_key(),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("artifact_type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.Text()),
        sa.Column("annotations", sa.Text(), nullable=False),
        sa.Column("pushed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "digest"),
    )
    op.create_index(None, "manifests", ["repository_id", "subject"])


def _manifest_children() -> None:
    op.create_table(
        "manifest_children",
        sa.Column("repository_id", _ID, nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "manifest", "digest"),
        sa.ForeignKeyConstraint(
            ["repository_id", "manifest"], ["manifests.repository_id", "manifests.digest"], ondelete="CASCADE"
        ),
    )
    op.create_index(None, "manifest_children", ["repository_id", "digest"])


def _blob_links() -> None:
    op.create_table(
        "blob_links",
        *_repository_key(),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("linked_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "digest"),
    )
    op.create_index(None, "blob_links", ["digest"])


def _tags() -> None:
    op.create_table(
        "tags",
        *_repository_key(),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "tag"),
    )
    op.create_index(None, "tags", ["repository_id", "digest"])


def _changes() -> None:
    op.create_table(
        "changes",
        sa.Column("seq", _ID, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("upstream", sa.Text(), nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text()),
        sa.Column("tag", sa.Text()),
        sa.Column("detail", sa.Text(), nullable=False),
        sqlite_autoincrement=True,
    )
