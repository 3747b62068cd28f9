"""`mirror status`: how the node stands, on one screen."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
from rich.filesize import decimal

from mirror.cli.desk import Desk, administering, moment

UPSTREAMS: Final = ("UPSTREAM", "STATE", "HITS", "FETCHED", "CALLS LEFT", "ANSWERS IN", "ANSWERED")
PLACES: Final = ("PLACE", "ACCOUNT", "WAITING", "REFUSED", "BEHIND")
JOBS: Final = ("JOB", "LAST", "NEXT", "STATE")
_DAY_S: Final = 86_400

Answer = Mapping[str, Any]


@click.command(short_help="How the node stands: store, upstreams, replication, jobs.")
@administering
def status(desk: Desk) -> None:
    """Say how the node stands; exit 1 if it is not ready, or does not run.

    \b
    Examples:
      mirror status
      mirror status --json
    """
    found = desk.ask(lambda node: node.own("view", "status"))
    desk.table(found, ("KEY", "VALUE"), _facts(found))
    if not desk.as_json:
        for titles, rows in (
            (UPSTREAMS, [upstream_row(one) for one in found["upstreams"]]),
            (PLACES, [_place(one) for one in found["places"]]),
            (JOBS, [_job(one) for one in found["jobs"]]),
        ):
            if rows:
                click.echo()
                desk.table(found, titles, rows)
    sys.exit(1 if found["fault"] else 0)


def _facts(found: Answer) -> Sequence[tuple[str, object]]:
    return [
        ("version", found["version"]),
        ("up", duration(found["uptimeS"])),
        ("ready", f"no: {found['fault']}" if found["fault"] else "yes"),
        ("store", f"{decimal(found['bytes'])} in {found['blobs']} blobs"),
        ("cache", _cache(found)),
        ("disk", f"{decimal(found['diskFree'])} free of {decimal(found['disk'])}"),
        ("connections", found["connections"]),
        ("loop lag", seconds(found["loopLagS"])),
        ("fills", found["fillsCount"]),
    ]


def _cache(found: Answer) -> str:
    limit = f" of {decimal(found['cacheBytesMax'])}" if found["cacheBytesMax"] else ", no limit"
    return decimal(found["cacheBytes"]) + limit


def upstream_row(one: Answer) -> Sequence[object]:
    """Show an upstream as UPSTREAMS says."""
    calls = "" if one["callsLeft"] is None else f"{one['callsLeft']} of {one['calls']}"
    answered = "never" if one["answeredS"] is None else f"{duration(one['answeredS'])} ago"
    answer_s = seconds(one["answerS"]) if one["requests"] else ""
    return one["name"], state(one), share(one["hitRatio"]), decimal(one["bytes"]), calls, answer_s, answered


def state(one: Answer) -> str:
    """Say whether an upstream is asked, and why not."""
    if one["reachable"]:
        return f"failing: {one['reason']}" if one["reason"] else "ok"
    return f"left alone for {duration(one['waitS'])}: {one['reason']}"


def _place(one: Answer) -> Sequence[object]:
    return one["region"], one["account"], one["waiting"], one["failed"], duration(one["lagS"])


def _job(one: Answer) -> Sequence[object]:
    last, after = (moment(one[key]) if one[key] else "" for key in ("endedAt", "nextAt"))
    return one["name"], last or "never", after or "on demand", "failed" if one["failed"] else "ok"


def share(ratio: float | None) -> str:
    """Say a share in percent; "" where there is nothing to share."""
    return "" if ratio is None else f"{100 * ratio:.1f}%"


def seconds(value: float) -> str:
    """Say a short time."""
    return f"{1000 * value:.1f} ms" if value < 1 else f"{value:.1f} s"


def duration(value: float) -> str:
    """Say how long something has lasted: `3 d 04:05:06`, without days where there is none."""
    days, rest = divmod(int(value), _DAY_S)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {clock}" if days else clock
