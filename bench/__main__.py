"""All walks in one run: `python -m bench` records its table in bench/RESULTS.md, `python -m bench --quick` does not."""

from bench import (
    cold_blob,
    push_large_blob,
    push_small_blobs,
    warm_1mib_blob,
    warm_256mib_blob,
    warm_authorized,
    warm_manifest,
    warm_small_blob,
)
from bench.walk import main

main(
    warm_manifest.WALK,
    warm_small_blob.WALK,
    warm_1mib_blob.WALK,
    warm_256mib_blob.WALK,
    warm_authorized.WALK,
    cold_blob.WALK,
    push_small_blobs.WALK,
    push_large_blob.WALK,
    is_recorded=True,
)
