"""Benches: one script a walk, this node beside its peers in one interleaved run. `python -m bench` runs them all.

Everything is on loopback, bounded in time and bytes, and removed at the end; rows go to bench/RESULTS.md.
"""
