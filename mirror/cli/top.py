"""`mirror top`: what the node does at this moment, looked at again each second."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import click
from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mirror.cli.desk import Desk, administering, plain
from mirror.cli.socket import Administrator, Refused
from mirror.cli.status import duration, seconds, share, state

LOOK_S: Final = 1.0
FILLS_SHOWN: Final = 12
BAR_CHARS: Final = 20
FILLS: Final = ("FETCHING", "DIGEST", "OF", "", "RATE", "READERS")
UPSTREAMS: Final = ("UPSTREAM", "STATE", "HITS", "NOW", "FETCHED/S", "ANSWERS IN", "CALLS LEFT")
DIGEST_CHARS: Final = 19  # `sha256:` and twelve digits, as docker prints them

Answer = Mapping[str, Any]


@click.command(short_help="What the node does at this moment.")
@click.option("--once", is_flag=True, help="Print one frame, of the second that follows, and leave.")
@administering
def top(desk: Desk, once: bool) -> None:
    """Show throughput, hit ratio, fills and upstreams, again each second until interrupted. The node must be running.

    With --json the frames' figures are printed, a document a frame.

    \b
    Examples:
      mirror top
      mirror top --once
    """
    console = Console()
    if once or desk.as_json or not console.is_terminal or console.is_dumb_terminal:
        desk.ask(lambda node: _watch(node, lambda old, new: _print(desk, old, new), once=once))
        return
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False, screen=True) as live:
        desk.ask(lambda node: _watch(node, lambda old, new: live.update(frame(old, new), refresh=True), once=False))


async def _watch(node: Administrator, show: Callable[[Answer, Answer], object], *, once: bool) -> None:
    """Show each two looks that follow each other: what changed between them are the rates."""
    old: Answer | None = None
    async for new in _looks(node):
        if old is not None:
            show(old, new)
            if once:
                return
        old = new


async def _looks(node: Administrator) -> AsyncIterator[Answer]:
    while True:
        found = await node.own("view", "status")
        if found["fault"]:
            raise Refused(found["fault"])
        yield found
        await asyncio.sleep(LOOK_S)


def _print(desk: Desk, old: Answer, new: Answer) -> None:
    if desk.as_json:
        desk.say({**new, "rates": rates(old, new)}, "")
    else:
        Console().print(frame(old, new))


def rates(old: Answer, new: Answer) -> Mapping[str, float | None]:
    """Say what happened in each second between two looks: requests, bytes to clients, bytes fetched; and the hits."""
    hits = sum(_more(old, new, key) for key in ("hits", "joins"))
    asked = hits + _more(old, new, "misses")
    return {
        "requests": _per_s(old, new, new["requests"] - old["requests"]),
        "sentBytes": _per_s(old, new, new["sentBytes"] - old["sentBytes"]),
        "fetchedBytes": _per_s(old, new, _more(old, new, "bytes")),
        "hitRatio": hits / asked if asked else None,
    }


def frame(old: Answer, new: Answer) -> Group:
    """Show two looks as one screen."""
    parts: list[RenderableType] = [*map(Text, _head(new, rates(old, new)))]
    if new["fills"]:
        parts += ["", _fills(old, new)]
    parts += ["", _upstreams(old, new)]
    if new["clients"]:
        clients = (f"{plain(address) or 'unix socket'} {count}" for address, count in new["clients"])
        parts += ["", Text(f"most connections: {', '.join(clients)}")]
    return Group(*parts)


def _head(new: Answer, rate: Mapping[str, Any]) -> Sequence[str]:
    facts = (
        (f"mirror {new['version']}", f"up {duration(new['uptimeS'])}"),
        (f"connections {new['connections']}", f"loop lag {seconds(new['loopLagS'])}"),
        (f"requests {rate['requests']:.1f}/s", f"sent {decimal(int(rate['sentBytes']))}/s"),
        (f"fetched {decimal(int(rate['fetchedBytes']))}/s", f"hits {share(rate['hitRatio']) or '-'}"),
        (f"store {decimal(new['bytes'])} in {new['blobs']} blobs", f"fills {new['fillsCount']}"),
        (f"disk {decimal(new['diskFree'])} free of {decimal(new['disk'])}",),
    )
    return ["   ".join(left + right) for left, right in zip(facts[::2], facts[1::2], strict=True)]


def _fills(old: Answer, new: Answer) -> Table:
    table = _table(FILLS)
    before = {one["digest"]: one["bytes"] for one in old["fills"]}
    for one in new["fills"][:FILLS_SHOWN]:
        rate = _per_s(old, new, one["bytes"] - before.get(one["digest"], one["bytes"]))
        size, readers = one["size"], "in the background" if one["background"] else str(one["readers"])
        bar = ProgressBar(total=max(1, size or 0), completed=one["bytes"] if size else 0, width=BAR_CHARS)
        told = (one["repository"], one["digest"][:DIGEST_CHARS], decimal(size) if size else "?")
        table.add_row(*map(_cell, told), bar, _cell(f"{decimal(int(rate))}/s"), _cell(readers))
    return table


def _upstreams(old: Answer, new: Answer) -> Table:
    """Show the upstreams, those that are in trouble or slow first."""
    table = _table(UPSTREAMS)
    before = {one["name"]: one for one in old["upstreams"]}
    for one in sorted(new["upstreams"], key=lambda one: (one["reachable"], -one["answerS"])):
        last = before.get(one["name"], one)
        hits, asked = (sum(one[key] - last[key] for key in keys) for keys in (_FREE, (*_FREE, "misses")))
        told = (
            one["name"],
            state(one),
            share(one["hitRatio"]),
            share(hits / asked if asked else None),
            f"{decimal(int(_per_s(old, new, one['bytes'] - last['bytes'])))}/s",
            seconds(one["answerS"]) if one["requests"] else "",
            "" if one["callsLeft"] is None else f"{one['callsLeft']} of {one['calls']}",
        )
        table.add_row(*map(_cell, told))
    return table


_FREE: Final = ("hits", "joins")


def _table(titles: Sequence[str]) -> Table:
    return Table(*titles, box=None, pad_edge=False, header_style="bold")


def _cell(text: str) -> Text:
    return Text(plain(text), overflow="ellipsis", no_wrap=True)


def _more(old: Answer, new: Answer, key: str) -> int:
    """Say by how much a count of all upstreams has grown; one that is gone takes nothing back."""
    before = {one["name"]: one[key] for one in old["upstreams"]}
    return sum(one[key] - before.get(one["name"], 0) for one in new["upstreams"])


def _per_s(old: Answer, new: Answer, count: float) -> float:
    passed_s: float = new["uptimeS"] - old["uptimeS"]
    return count / max(0.001, passed_s)
