"""Benches: one script a walk, this node beside its peers in one interleaved run. `python -m bench` runs them all.

Beside them: `bench.replicate` (how fast images go to other places), `bench.soak` (all that a node does at once, and
nothing is lost), `bench.memory` (200 pulls of a GiB in 256 MiB), `bench.slow_clients` (who is slow harms nobody).

Everything is on loopback, bounded in time and bytes, and removed at the end; rows go to bench/RESULTS.md.
"""
