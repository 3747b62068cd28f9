"""Alembic's entry: runs the steps on the connection that `store/database.py` hands in, inside its transaction."""

from alembic import context

from mirror.store.tables import metadata


def migrate() -> None:
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        render_as_batch=True,  # SQLite cannot alter a column in place
    )
    with context.begin_transaction():
        context.run_migrations()


# Alembic loads this file under this name; imported by any other, there is no context to work in.
if __name__ == "env_py":
    migrate()
