"""One walk: some cases, all peers, several rounds in turn (A B C A B C); medians, and ratios to nginx.

Interleaved, because a shared machine drifts: a peer measured a minute later is measured on another machine.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench.measure import Load, Sample, machine, measured, record
from bench.peers import Peer

Work = Callable[[Peer, int], Load]  # a peer and the number of the round


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to measure."""

    rounds: int
    seconds: float
    is_quick: bool = False


FULL: Final = Pace(rounds=3, seconds=3.0)
QUICK: Final = Pace(rounds=1, seconds=1.0, is_quick=True)


@dataclass(frozen=True, slots=True)
class Bench:
    """The peers of a walk, running, and what is asked of them, by the case's name."""

    peers: Sequence[Peer]
    cases: dict[str, Work]


@dataclass(frozen=True, slots=True)
class Walk:
    """`set_up` takes a scratch folder and the pace, and yields the bench."""

    title: str
    set_up: Callable[[Path, Pace], AbstractContextManager[Bench]]


@dataclass(frozen=True, slots=True)
class Row:
    """The median sample of one peer in one case, and what nginx used for the same."""

    title: str
    case: str
    peer: str
    sample: Sample
    cpu_ratio: float | None


def run(walk: Walk, pace: Pace) -> list[Row]:
    """Start the peers, measure every case, stop the peers."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, walk.set_up(Path(scratch), pace) as bench:
        return [row for case, work in bench.cases.items() for row in _case(walk.title, case, work, bench.peers, pace)]


def _case(title: str, case: str, work: Work, peers: Sequence[Peer], pace: Pace) -> Iterator[Row]:
    samples: dict[str, list[Sample]] = {peer.name: [] for peer in peers}
    for number in range(pace.rounds):
        for peer in peers:
            samples[peer.name].append(_sample(peer, work, number))
            print(f"{title}, {case}: {peer.name}: {samples[peer.name][-1].requests_per_s:.1f}/s", file=sys.stderr)
    medians = {name: median(each) for name, each in samples.items()}
    floor = next((sample for name, sample in medians.items() if name.startswith("nginx")), None)
    for name, sample in medians.items():
        ratio = sample.cpu_us_per_request / floor.cpu_us_per_request if floor and floor.cpu_s else None
        yield Row(title, case, name, sample, ratio)


def _sample(peer: Peer, work: Work, number: int) -> Sample:
    process = peer.daemon.process
    assert process is not None, f"{peer.name} is not running"
    return measured(process.pid, lambda: work(peer, number))


def median(samples: Sequence[Sample]) -> Sample:
    """Take the sample in the middle by CPU a request, with the worst RSS and all errors of the rounds."""
    middle = statistics.median_low([sample.cpu_us_per_request for sample in samples])
    sample = next(sample for sample in samples if sample.cpu_us_per_request == middle)
    errors, rss_mib = sum(each.load.errors for each in samples), max(each.rss_mib for each in samples)
    return replace(sample, load=replace(sample.load, errors=errors), rss_mib=rss_mib)


BODY_BYTES_MIN: Final = 65_536  # below it the cost lies in the request, and GiB say nothing
HEADINGS: Final = (
    "walk", "case", "peer", "requests/s", "GiB/s", "CPU us/request", "CPU s/GiB", "CPU to nginx", "p50 ms", "p99 ms",
    "RSS MiB", "errors", "note",
)  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """Write the rows as a table of Markdown."""
    lines = [HEADINGS, ["---"] * len(HEADINGS), *(_cells(row) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(row: Row) -> list[str]:
    sample, load = row.sample, row.sample.load
    has_bodies = load.body_bytes >= load.requests * BODY_BYTES_MIN
    return [
        row.title,
        row.case,
        row.peer,
        f"{sample.requests_per_s:,.1f}" if sample.requests_per_s < 100 else f"{sample.requests_per_s:,.0f}",
        f"{sample.gib_per_s:.2f}" if has_bodies else "",
        f"{sample.cpu_us_per_request:,.1f}",
        f"{sample.cpu_s_per_gib:.3f}" if has_bodies else "",
        "" if row.cpu_ratio is None else f"{row.cpu_ratio:.2f}",
        f"{load.p50_ms:.2f}",
        f"{load.p99_ms:.2f}",
        f"{sample.rss_mib:.0f}",
        str(load.errors),
        load.note,
    ]


def main(*walks: Walk, is_recorded: bool = False) -> None:
    """Run walks from the command line and print their table; record it in bench/RESULTS.md unless it was quick."""
    parser = argparse.ArgumentParser(description=", ".join(walk.title for walk in walks))
    parser.add_argument("--quick", action="store_true", help="one short round: shows that it works, says little")
    words = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is missing: it asks for what is warm")
    pace = QUICK if words.quick else FULL
    rows = [row for walk in walks for row in run(walk, pace)]
    text = f"\n## {machine()}\n\n{pace.rounds} rounds of {pace.seconds:.0f} s in turn, medians.\n\n{table(rows)}"
    record(text, kept=is_recorded and not words.quick)
