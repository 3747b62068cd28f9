"""Collection: blobs that something stopped naming, and who else names them."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "unneeded",
        sa.Column("digest", sa.Text(), primary_key=True),
        sa.Column("since", sa.Double(), nullable=False),
    )
    op.create_index("ix_unneeded_since_digest", "unneeded", ["since", "digest"])
    for table in ("manifests", "manifest_children"):
        op.create_index(f"ix_{table}_digest", table, ["digest"])
