"""Counters and gauges of the node, in Prometheus' text format.

Every label is a word of our own or the name of a configured upstream, never a client's free text: the number of series
is bounded by the configuration (RELIABILITY A50). The hot walks' children are bound once and remembered, so that
they pay for the addition only. Never: a file, a clock, a repository name.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

Lane = Literal["express", "normal"]
Outcome = Literal["hit", "joined", "filled", "passed", "stale", "error"]
Direction = Literal["read", "write"]

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
CHILDREN_MAX: Final = 4_096  # remembered children; far above methods x routes x statuses x lanes that really occur
ANSWER_S: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # from a registry in the same room to the end of our patience
LAG_S: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # from what nobody notices to what clients retry

# A `_created` series beside each counter would double the page and tells nothing that the counter's reset does not.
disable_created_metrics()  # type: ignore[no-untyped-call]

_registry = CollectorRegistry()
ProcessCollector(registry=_registry)
PlatformCollector(registry=_registry)
GCCollector(registry=_registry)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=_registry)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(name, text, labels, registry=_registry)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(name, text, labels, buckets=buckets, registry=_registry)


BUILD = _gauge("mirror_build_info", "1; the label says which release this is.", "version")
READY = _gauge("mirror_ready", "1 when /readyz says so, else 0.")
REQUESTS = _counter("mirror_requests", "Requests answered.", "method", "route", "status", "lane")
RESPONSE_BYTES = _counter("mirror_response_bytes", "Body bytes sent to clients.")
PULLS = _counter("mirror_pulls", "Manifests and blobs asked for.", "upstream", "kind", "outcome")
FILLS = _gauge("mirror_fills_in_flight", "Fetches into the store that are running.")
FILL_BYTES = _counter("mirror_fill_bytes", "Bytes fetched into the store.", "upstream")
PASSED_BYTES = _counter("mirror_passed_bytes", "Bytes sent on and not kept: the disk is full.", "upstream")
DISK_FULL = _gauge("mirror_disk_full", "1 while misses pass through and pushes are refused: there is no room.")
RESERVE_HELD = _gauge("mirror_reserve_held", "1 while there is room for clean-up set aside on the disk.")
UPSTREAM_REQUESTS = _counter("mirror_upstream_requests", "Requests sent upstream.", "upstream", "status")
UPSTREAM_BUDGET = _gauge("mirror_upstream_budget_remaining", "Calls left, as upstream last told.", "upstream")
UPSTREAM_REACHABLE = _gauge("mirror_upstream_reachable", "1 when it would be asked now, else 0.", "upstream")
UPSTREAM_ANSWER = _histogram(
    "mirror_upstream_answer_seconds", "From a request to the head of its answer.", ANSWER_S, "upstream"
)
CONNECTIONS = _gauge("mirror_connections", "Client connections that are open.")
CONNECTIONS_REFUSED = _counter("mirror_connections_refused", "Connections closed at once: too many were open.")
UPLOADS = _gauge("mirror_uploads_in_flight", "Upload requests that are running.")
SLOW_CLOSED = _counter("mirror_slow_closed", "Connections closed below the minimum rate.", "direction")
WEBHOOK_EVENTS = _counter("mirror_webhook_events", "Events told: delivered, repeated or parked.", "hook", "outcome")
REPLICATION_BYTES = _counter("mirror_replication_bytes", "Bytes of blobs sent to a place.", "region", "account")
REPLICATION_WAITING = _gauge("mirror_replication_waiting", "Images on their way to a place.", "region", "account")
REPLICATION_FAILED = _gauge("mirror_replication_failed", "Those of them that the place refused.", "region", "account")
REPLICATION_LAG = _gauge("mirror_replication_lag_seconds", "Age of the oldest of them.", "region", "account")
SYNC_IMAGES = _counter("mirror_sync_images", "Images looked at, by what there was to do.", "rule", "state")
SYNC_BYTES = _counter("mirror_sync_bytes", "Bytes of blobs fetched before anybody asked.", "rule")
SYNC_FAILURES = _counter("mirror_sync_failures", "Images and repositories that failed.", "rule")
SYNC_SUCCESS = _gauge("mirror_sync_last_success_timestamp_seconds", "End of the last run without a failure.", "rule")
LIFECYCLE_EXPIRED = _counter("mirror_lifecycle_expired", "Images that lifecycle policies have deleted.")
LIFECYCLE_ARCHIVED = _counter("mirror_lifecycle_archived", "Images that lifecycle policies have archived.")
LIFECYCLE_FAILED = _counter("mirror_lifecycle_failed", "Runs of lifecycle policies that ended in a fault of ours.")
ARCHIVE_MOVED = _counter("mirror_archive_moved_bytes", "Bytes moved into the archive, and out of it.", "direction")
ARCHIVE_AWAY = _gauge("mirror_archive_away", "1 while there is an archive and its disk is not there, else 0.")
ARCHIVE_FREE = _gauge("mirror_archive_free_bytes", "What the node may still write on the archive's disk.")
ARCHIVE_SIZE = _gauge("mirror_archive_size_bytes", "The size of that disk.")
SCRUB_BYTES = _counter("mirror_scrub_bytes", "Bytes of blobs read again and compared.")
SCRUB_SUCCESS = _gauge("mirror_scrub_last_success_timestamp_seconds", "End of the last scrub of all blobs.")
DAMAGE_FOUND = _counter("mirror_damage_found", "Blobs that were not as they should be.", "fault")
DAMAGE_HEALED = _counter("mirror_damage_healed", "Blobs that were damaged or lost, and are right again.")
DAMAGE_LOST = _gauge("mirror_damage_lost", "Blobs of our own whose bytes nobody has.")
EVICTED_IMAGES = _counter("mirror_evicted_images", "Cached images let go for room, or unused for too long.")
EVICTED_BYTES = _counter("mirror_evicted_bytes", "Bytes of blobs that were removed with them.")
CACHE_BYTES = _gauge("mirror_cache_bytes", "Bytes of blobs that are cached and that nothing of our own needs.")
COLLECTED_BLOBS = _counter("mirror_collected_blobs", "Blobs removed: nothing named them any more.")
COLLECTED_BYTES = _counter("mirror_collected_bytes", "Their bytes.")
STORE_BLOBS = _gauge("mirror_store_blobs", "Blobs and manifests that are here.")
STORE_BYTES = _gauge("mirror_store_bytes", "Their bytes.")
DISK_FREE = _gauge("mirror_disk_free_bytes", "What the node may still write on the disk of its store.")
DISK_SIZE = _gauge("mirror_disk_size_bytes", "The size of that disk.")
INDEX_USED = _gauge("mirror_index_used_bytes", "Of the index's memory map: what was ever used.")
INDEX_SIZE = _gauge("mirror_index_size_bytes", "The size of that map.")
DATABASE_SIZE = _gauge("mirror_database_size_bytes", "The SQL file with its write-ahead log.")
LOOP_LAG = _histogram("mirror_loop_lag_seconds", "By how much a timer of the event loop came late.", LAG_S)
LOOP_LAG_MAX = _gauge("mirror_loop_lag_max_seconds", "The most of the last ten seconds.")
JOB_ENDED = _gauge("mirror_job_last_end_timestamp_seconds", "When a job of the node's last ended.", "task")
JOB_NEXT = _gauge("mirror_job_next_timestamp_seconds", "When it begins again.", "task")
JOB_FAILED = _gauge("mirror_job_failed", "1 when its last run failed, else 0.", "task")
LOG_LINES_DROPPED = _counter("mirror_log_lines_dropped", "Log lines lost because nobody read them in time.")
TRACE_SPANS_DROPPED = _counter("mirror_trace_spans_dropped", "Spans lost because the collector did not take them.")


def answered(method: str, route: str, status: int, lane: Lane) -> None:
    """Count a request. `route` is a word of ours (manifest, blob); `method` may be any text."""
    _requests(method if method in METHODS else "other", route, status, lane).inc()


def pulled(upstream: str, kind: str, outcome: Outcome) -> None:
    """Count a pull. `upstream` is "" for our own repositories; `kind` is manifest, blob and the like."""
    _pulls(upstream, kind, outcome).inc()


def asked(upstream: str, status: int) -> None:
    """Count a request sent to `upstream`; status 0 stands for no answer at all."""
    UPSTREAM_REQUESTS.labels(upstream, _status_class(status) if status else "none").inc()


def slow_closed(direction: Direction) -> None:
    """Count a connection closed for being slow: `read` is a body that came, `write` an answer that went too slowly."""
    SLOW_CLOSED.labels(direction).inc()


def job_ended(job: str, at: float, next_at: float, *, failed: bool = False) -> None:
    """Say that a job of the node's ended `at`, and when it begins again: unix seconds."""
    JOB_ENDED.labels(job).set(at)
    JOB_NEXT.labels(job).set(next_at)
    JOB_FAILED.labels(job).set(failed)


@lru_cache(CHILDREN_MAX)
def _requests(method: str, route: str, status: int, lane: Lane) -> Counter:
    return REQUESTS.labels(method, route, _status_class(status), lane)


@lru_cache(CHILDREN_MAX)
def _pulls(upstream: str, kind: str, outcome: Outcome) -> Counter:
    return PULLS.labels(upstream, kind, outcome)


class Tally:
    """What the express lane has counted since the last exposition: two additions a request, no lock."""

    __slots__ = ("requests", "response_bytes")

    def __init__(self) -> None:
        self.requests = 0
        self.response_bytes = 0


_tallies: dict[tuple[str, str, str], Tally] = {}


def tally(method: str, route: str, upstream: str) -> Tally:
    """Return the tally of pulls answered 200 by the express lane; all three are words of ours."""
    return _tallies.setdefault((method, route, upstream), Tally())


def take_in() -> None:
    """Move the tallies into the counters. On the loop, which alone counts in them."""
    for (method, route, upstream), counted in _tallies.items():
        _requests(method, route, 200, "express").inc(counted.requests)
        _pulls(upstream, route, "hit").inc(counted.requests)
        RESPONSE_BYTES.inc(counted.response_bytes)
        counted.requests = counted.response_bytes = 0


def readings(metric: Counter | Gauge | Histogram, suffix: str = "") -> Mapping[tuple[str, ...], float]:
    """Return a metric's values by those of its labels, in their order. A counter's suffix is `_total`."""
    (family,) = metric.collect()
    wanted = family.name + suffix
    return {tuple(one.labels.values()): one.value for one in family.samples if one.name == wanted}


def reading(metric: Counter | Gauge, suffix: str = "") -> float:
    """Return the value of a metric without labels, or the sum over all of them."""
    return sum(readings(metric, suffix).values())


def exposition() -> bytes:
    """Return all series as `text/plain; version=0.0.4`. Reads /proc: call it in a thread."""
    return generate_latest(_registry)


def _status_class(status: int) -> str:
    return f"{status // 100}xx" if 100 <= status < 600 else "other"
