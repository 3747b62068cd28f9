"""This node's own disk and database. Knows no upstream and no HTTP; `store.py` opens it all."""
