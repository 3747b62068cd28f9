"""`mirror replication` at a terminal: what the bars of --watch show."""

import io

from rich.console import Console

from mirror.cli.replication import _bars

FOUND = {
    "places": [
        {"region": "backup", "account": "", "complete": 3, "waiting": 1, "failed": 1, "oldestAt": 1_700_000_000},
        {"region": "us-west-2", "account": "1" * 12, "complete": 0, "waiting": 0, "failed": 0, "oldestAt": None},
    ],
    "refused": [
        {
            "region": "backup",
            "account": "",
            "repository": "team/app",
            "digest": "",
            "tag": "v1",
            "failure": "Server",
            "reason": "no\x1b[2J room",
            "tries": 7,
        }
    ],
}


def test_each_place_has_a_bar_and_what_it_refuses_its_reason() -> None:
    """Issue 4, section 1: `--watch` with progress bars; no registry's words steer a terminal."""
    out = io.StringIO()
    Console(file=out, width=160).print(_bars(FOUND))
    head, backup, west, refused = out.getvalue().splitlines()
    assert head.split() == ["PLACE", "ACCOUNT", "DONE", "WAITING", "REFUSED", "OLDEST"]
    assert backup.split()[:5] == ["backup", "3", "1", "1", "2023-11-14T22:13:20Z"]
    assert "━" in backup
    assert west.split()[:2] == ["us-west-2", "1" * 12]
    assert refused.strip() == r"backup  team/app:v1  7  Server: no\x1b[2J room"
