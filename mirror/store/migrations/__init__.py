"""Alembic's side of the database: how the tables of `store/tables.py` came to be, step by step."""
