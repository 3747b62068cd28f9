"""Fetching from upstreams before anybody asks: rules, plans, single images."""

from mirror.registry.syncing.rounds import Gate
from mirror.registry.syncing.syncs import Run, Syncs
from mirror.registry.syncing.tally import Ended, Event, Failure, Listener, Looked, Moving, Outcome, Tally
from mirror.registry.syncing.targets import Targets
from mirror.registry.syncing.walk import Shelf

__all__ = [
    "Ended",
    "Event",
    "Failure",
    "Gate",
    "Listener",
    "Looked",
    "Moving",
    "Outcome",
    "Run",
    "Shelf",
    "Syncs",
    "Tally",
    "Targets",
]
