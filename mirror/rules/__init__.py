"""Decisions: data and `now` in, an answer out. Pure: no I/O, no clock."""
