"""Counters: right, and few."""

import asyncio

from mirror import telemetry


def test_requests_are_counted_by_class_of_status() -> None:
    series = 'mirror_requests_total{lane="express",method="OPTIONS",route="manifest",status="2xx"}'
    telemetry.answered("OPTIONS", "manifest", 200, "express")
    telemetry.answered("OPTIONS", "manifest", 206, "express")
    assert f"{series} 2.0" in telemetry.exposition().decode()
    assert _series(series.partition("{")[0] + '{lane="express",method="OPTIONS"') == 1


def test_a_clients_free_text_makes_no_series() -> None:
    """RELIABILITY A50: 100,000 invented methods are one series."""
    telemetry.answered("BREW", "blob", 405, "normal")
    before = _series("mirror_requests_total")
    for number in range(10_000):
        telemetry.answered(f"M{number}", "blob", 405, "normal")
    assert _series("mirror_requests_total") == before


def test_an_upstreams_odd_status_is_other() -> None:
    telemetry.asked("docker.io", 999)
    telemetry.asked("docker.io", 0)
    page = telemetry.exposition()
    assert b'mirror_upstream_requests_total{status="other",upstream="docker.io"}' in page
    assert b'mirror_upstream_requests_total{status="none",upstream="docker.io"}' in page


async def test_the_page_has_every_promised_name() -> None:
    """Issue, section 2: `GET /metrics`."""
    telemetry.pulled("docker.io", "blob", "hit")
    telemetry.FILL_BYTES.labels("docker.io").inc(10)
    telemetry.UPSTREAM_BUDGET.labels("docker.io").set(99)
    telemetry.slow_closed("write")
    page = (await asyncio.to_thread(telemetry.exposition)).decode()
    for name in (
        "mirror_response_bytes_total",
        "mirror_pulls_total",
        "mirror_fills_in_flight",
        "mirror_fill_bytes_total",
        "mirror_upstream_budget_remaining",
        "mirror_connections ",
        "mirror_connections_refused_total",
        "mirror_uploads_in_flight",
        "mirror_slow_closed_total",
        "mirror_disk_free_bytes",
        "mirror_index_used_bytes",
        "mirror_database_size_bytes",
        "mirror_loop_lag_seconds_bucket",
        "mirror_lifecycle_expired_total",
        "mirror_replication_lag_seconds",
        "process_open_fds",
        "process_resident_memory_bytes",
    ):
        assert name in page
    assert "_created" not in page


def _series(name: str) -> int:
    return sum(line.startswith(name.encode()) for line in telemetry.exposition().splitlines())


def test_values_are_read_by_their_labels() -> None:
    """What status tells is what the page has."""
    telemetry.pulled("read.io", "blob", "joined")
    telemetry.UPSTREAM_ANSWER.labels("read.io").observe(0.2)
    assert telemetry.readings(telemetry.PULLS, "_total")["read.io", "blob", "joined"] == 1
    assert telemetry.readings(telemetry.UPSTREAM_ANSWER, "_count")["read.io",] == 1
    telemetry.job_ended("test", 10.0, 20.0, failed=True)
    for metric, value in ((telemetry.JOB_ENDED, 10.0), (telemetry.JOB_NEXT, 20.0), (telemetry.JOB_FAILED, 1.0)):
        assert telemetry.readings(metric)["test",] == value
