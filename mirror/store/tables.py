"""The SQL tables: the truth about names. Statements that work on SQLite and on PostgreSQL alike.

Source: DESIGN section 2. Digests are text as clients say them, times are unix seconds, sizes bytes. The same tables are
made by `migrations/`; a test holds the two together.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

# SQLite gives row ids to INTEGER keys only; PostgreSQL needs the width.
_Id = BigInteger().with_variant(Integer, "sqlite")

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

repositories: Final = Table(
    "repositories",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("registry", Text, nullable=False),
    Column("upstream", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("settings", Text, nullable=False),  # JSON; its shape is rules/repositories.py's
    UniqueConstraint("registry", "upstream", "name"),
)


def _repository_id() -> "Column[int]":
    return Column("repository_id", _Id, ForeignKey("repositories.id", ondelete="CASCADE"), nullable=False)


manifests: Final = Table(
    "manifests",
    metadata,
    _repository_id(),
    Column("digest", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("artifact_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("subject", Text),
    Column("annotations", Text, nullable=False),
    Column("pushed_at", Double, nullable=False),
    Column("image_size", BigInteger, nullable=False),  # of what it names; of a list that of its largest child
    Column("status", Text, nullable=False),  # ACTIVE or ARCHIVED
    Column("archived_at", Double),
    Column("activated_at", Double),
    Column("pulled_at", Double),
    PrimaryKeyConstraint("repository_id", "digest"),
    Index(None, "repository_id", "subject"),
    Index(None, "digest"),
)

manifest_children: Final = Table(
    "manifest_children",
    metadata,
    Column("repository_id", _Id, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("kind", Text, nullable=False),  # blob, foreign (a blob that lives elsewhere) or manifest
    PrimaryKeyConstraint("repository_id", "manifest", "digest"),
    ForeignKeyConstraint(
        ["repository_id", "manifest"], ["manifests.repository_id", "manifests.digest"], ondelete="CASCADE"
    ),
    Index(None, "repository_id", "digest"),
    Index(None, "digest"),
)

blob_links: Final = Table(
    "blob_links",
    metadata,
    _repository_id(),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("linked_at", Double, nullable=False),
    Column("proven", Boolean, nullable=False),  # else a manifest of an upstream's claims it, and no more
    PrimaryKeyConstraint("repository_id", "digest"),
    Index(None, "digest"),
)

tags: Final = Table(
    "tags",
    metadata,
    _repository_id(),
    Column("tag", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("updated_at", Double, nullable=False),
    PrimaryKeyConstraint("repository_id", "tag"),
    Index(None, "repository_id", "digest"),
)

repository_documents: Final = Table(
    "repository_documents",
    metadata,
    _repository_id(),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("updated_at", Double, nullable=False),
    PrimaryKeyConstraint("repository_id", "kind"),
)

documents: Final = Table(
    "documents",
    metadata,
    Column("owner", Text, nullable=False),  # a registry, or "" for the node
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("updated_at", Double, nullable=False),
    PrimaryKeyConstraint("owner", "kind", "name"),
)

unneeded: Final = Table(
    "unneeded",  # blobs that something stopped naming: whether all did is asked later
    metadata,
    Column("digest", Text, primary_key=True),
    Column("since", Double, nullable=False),
    Index(None, "since", "digest"),
)

cursors: Final = Table(
    "cursors",
    metadata,
    Column("name", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("updated_at", Double, nullable=False),
)

replications: Final = Table(
    "replications",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("registry", Text, nullable=False),  # whose images go
    Column("region", Text, nullable=False),  # where to, with the account there
    Column("account", Text, nullable=False),
    Column("repository", Text, nullable=False),
    Column("action", Text, nullable=False),  # PUT, UNTAG or DELETE
    Column("digest", Text, nullable=False),  # "" of a tag that goes
    Column("tag", Text, nullable=False),  # "" of an image without one
    Column("backfill", Text, nullable=False),  # the backfill that asked for it, "" for a change
    Column("status", Text, nullable=False),  # IN_PROGRESS, COMPLETE or FAILED; a failed one is tried again
    Column("failure", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("asked_at", Double, nullable=False),
    Column("due_at", Double, nullable=False),
    Column("done_at", Double),
    UniqueConstraint("registry", "region", "account", "repository", "action", "digest", "tag"),
    Index(None, "region", "account", "status", "due_at"),
    Index(None, "registry", "repository", "digest"),
    Index(None, "backfill", "status"),
    sqlite_autoincrement=True,
)

changes: Final = Table(
    "changes",
    metadata,
    Column("seq", _Id, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("registry", Text, nullable=False),
    Column("upstream", Text, nullable=False),
    Column("repository", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("digest", Text),
    Column("tag", Text),
    Column("detail", Text, nullable=False),
    # A seq is never given twice, even when the newest rows are pruned: cursors of consumers depend on it.
    sqlite_autoincrement=True,
)
