"""Progress: bars for eyes, plain lines for files."""

import pytest

from mirror.cli.progress import Bars


def test_reports_are_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars() as bars:
        bars.progress("blobs", 0, 0)
        bars.progress("blobs", 5, 10)
        bars.report("sha256:00 [bold]is damaged[/bold] " + "x" * 200)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "sha256:00 [bold]is damaged[/bold] " + "x" * 200 + "\n"
