"""The desk: where a command of administration asks the node and shows what it said.

Tables on a terminal; elsewhere lines of columns with tabs between them, for `cut` and `awk`; with --json the answer as
the API gave it.
"""

import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mirror import telemetry
from mirror.cli.failures import said_plainly
from mirror.cli.options import config_option, data_option
from mirror.cli.places import store_of
from mirror.cli.socket import Administrator, reached

# What a terminal would take for an order, and what would break a line of columns.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
PASSWORD_CHARS_READ_MAX: Final = 8_192

T = TypeVar("T")
Work = Callable[[Administrator], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class Desk:
    """One command's settings and its ways to answer."""

    config: Path | None
    data: Path | None
    account: str
    as_json: bool

    def ask(self, work: Work[T]) -> T:
        """Do `work` with the node: the running one, else one that lives as long as the work. Raises Refused."""
        from mirror import node

        settings = store_of(self.config, self.data)
        telemetry.start_logging("error", "console")

        async def talk(path: Path) -> T:
            async with reached(path, self.account) as administrator:
                return await work(administrator)

        return node.administer(settings, talk)

    def say(self, raw: object, line: str) -> None:
        """Answer with one line."""
        click.echo(_json(raw) if self.as_json else plain(line))

    def text(self, raw: object, text: str) -> None:
        """Answer with a text of its own lines, such as a policy."""
        lines = text.splitlines()
        click.echo(_json(raw) if self.as_json else "\n".join(plain(line) for line in lines))

    def table(self, raw: object, titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Answer with a list: a table, or lines of columns."""
        if self.as_json:
            click.echo(_json(raw))
            return
        cells = [[plain(_said(cell)) for cell in row] for row in rows]
        if sys.stdout.isatty():
            table = Table(*titles, box=None, pad_edge=False, header_style="bold")
            for row in cells:
                table.add_row(*(Text(cell, overflow="fold") for cell in row))
            Console().print(table)
        else:
            for row in cells:
                click.echo("\t".join(row))


def administering(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command its desk, as its first argument, and the options that make one."""

    @config_option
    @data_option
    @click.option("--account", default="", metavar="ID", help="Whose registry and users; the node's own by default.")
    @click.option("--json", "as_json", is_flag=True, help="Print the node's answer as JSON.")
    @wraps(command)
    def run(config: Path | None, data: Path | None, account: str, as_json: bool, **more: Any) -> None:
        with said_plainly():
            command(Desk(config, data, account, as_json), **more)

    return run


def password_of(file: TextIO | None, prompt: str) -> str:
    """Read a password: the first line of `file`, or what is typed twice without being shown."""
    if file is None:
        if not is_terminal(sys.stdin):
            raise click.UsageError(
                "there is no terminal to type a password at: --password-file FILE reads it, - from stdin"
            )
        typed: str = click.prompt(prompt, hide_input=True, confirmation_prompt=True)
        return typed
    password = file.readline(PASSWORD_CHARS_READ_MAX).rstrip("\r\n")
    if not password:
        raise click.UsageError(f"{file.name}: the first line is empty: a password is wanted there")
    return password


def is_terminal(file: TextIO) -> bool:
    """Tell whether a person is at the other end."""
    return file.isatty()


def moment(at: object) -> str:
    """Say a time: the JSON API's unix seconds, or IAM's text as it is."""
    if isinstance(at, int | float):
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return str(at or "")


def plain(text: str) -> str:
    """Escape what would steer a terminal or break a line."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def _said(cell: object) -> str:
    if isinstance(cell, list | tuple):
        return ",".join(str(member) for member in cell)
    return "" if cell is None else str(cell)


def _json(raw: object) -> str:
    return orjson.dumps(raw, option=orjson.OPT_INDENT_2).decode()
