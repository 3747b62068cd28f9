"""The node for the soak: `mirror`, but that what takes an hour or a day in the product takes some seconds here.

    python bench/launch.py serve --config FILE

What is changed is in this process only, and not for operators: times that keep a promise are no settings.
"""

from functools import partial
from importlib import import_module
from typing import Any, Final

GRACE_S: Final = 6.0  # of collection: longer than any push of the soak takes on a busy machine
SHORTER: Final = (
    ("mirror.jobs.collection", "LOOK_EVERY_S", 1.0),
    ("mirror.jobs.collection", "WALK_AFTER_S", 3.0),
    ("mirror.jobs.collection", "WALK_EVERY_S", 3.0),
    ("mirror.jobs.eviction", "LOOK_EVERY_S", 0.5),
    ("mirror.jobs.eviction", "IN_USE_S", 2.0),
    ("mirror.jobs.eviction", "COUNT_EVERY_S_MAX", 2.0),
    ("mirror.registry.pull_times", "WRITE_EVERY_S", 1.0),  # what was pulled is in use until its time is written
)


def hurry() -> None:
    """Shorten the times. Raises AttributeError where one is not there any more."""
    for module, name, seconds in SHORTER:
        owner = import_module(module)
        getattr(owner, name)
        setattr(owner, name, seconds)
    store: Any = import_module("mirror.store.store").Store
    store.open = partial(store.open, grace_s=GRACE_S)
    scrub: Any = import_module("mirror.jobs.scrub")
    scrub.PACE = scrub.Pace(start_s=1.0, look_s=0.5, every_s=0.5)


if __name__ == "__main__":
    hurry()
    import_module("mirror.cli").main()
