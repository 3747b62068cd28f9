"""Fetching from upstreams before anybody asks: rules, plans, single images."""

from mirror.registry.syncing.syncs import LOOK_S_MAX, OpensIn, Run, Syncs
from mirror.registry.syncing.tally import Ended, Event, Failure, Listener, Looked, Moving, Outcome, Tally
from mirror.registry.syncing.targets import Targets
from mirror.registry.syncing.walk import Shelf

__all__ = [
    "LOOK_S_MAX",
    "Ended",
    "Event",
    "Failure",
    "Listener",
    "Looked",
    "Moving",
    "OpensIn",
    "Outcome",
    "Run",
    "Shelf",
    "Syncs",
    "Tally",
    "Targets",
]
