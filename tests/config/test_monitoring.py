"""`config/grafana` and `config/prometheus`: what they ask for is what a node exposes.

The rules are read by the few lines of YAML that they keep to: there is no other reader here, and a real one reads them
in the same way. Where promtool is installed it is asked too.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from house_files import ROOT
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families
from running import cached, running
from standin import Standin

from mirror import telemetry

ALERTS = ROOT / "config" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "config" / "grafana" / "mirror.json"
ENDINGS = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
SCRAPED = {"instance"}  # Prometheus' own labels of what it scrapes
METRIC = re.compile(r"\b(?:mirror|process|python)_[a-z0-9_]+")
MATCHERS = re.compile(r"\b((?:mirror|process|python)_[a-z0-9_]+)\{([^}]*)\}")
GROUPED = re.compile(r"\b(?:by|on) \(([^)]*)\)")
TOLD = re.compile(r"\{\{ ?\$labels\.(\w+)|\{\{(\w+)\}\}")
# A key, after a dash or not, and a text in double quotes, which YAML reads as JSON does; or a key alone.
LINE = re.compile(r'( *)(- )?([a-z_]+):(?: ("(?:[^"\\]|\\.)*"))?')
RULE = {"alert", "expr", "for", "labels", "severity", "annotations", "summary"}


@cache
def rules() -> list[dict[str, str]]:
    """Read the alert rules, the keys of each."""
    found: list[dict[str, str]] = []
    for line in ALERTS.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        assert match, line
        key, value = match[3], json.loads(match[4] or '""')
        if key == "alert":
            assert (match[1], match[2]) == (" " * 6, "- ")
            found.append({})
        if found:
            assert key in RULE, line
            assert key not in found[-1], line
            assert len(match[1]) == (10 if key in ("severity", "summary") else 6 if key == "alert" else 8), line
            found[-1][key] = value
    return found


@cache
def asked() -> list[tuple[str, str]]:
    """Return what the dashboard asks: expressions, and how their series are called."""
    document = json.loads(DASHBOARD.read_text())
    return [
        (target["expr"], target["legendFormat"]) for panel in document["panels"] for target in panel.get("targets", ())
    ]


def labels() -> dict[str, set[str]]:
    """Return the labels of each series that the node declares, by its name on the page."""
    found: dict[str, set[str]] = {}
    for metric in vars(telemetry).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            (family,) = metric.collect()
            own = set(metric._labelnames)
            for ending in ENDINGS[family.type]:
                found[family.name + ending] = own | ({"le"} if ending == "_bucket" else set())
    return found


async def exposed(root: Path) -> set[str]:
    """Return the names on the page of a real node, with or without a series yet."""
    async with Standin() as standin, running(root, upstreams=[cached(standin)]) as node:
        await node.fetch("/v2/library/app/manifests/v1")
        page = (await node.fetch("/metrics"))[2]
    names: set[str] = set()
    for family in text_string_to_metric_families(page.decode()):
        names |= {sample.name for sample in family.samples} | {family.name}
        names |= {f"{family.name}{ending}" for ending in ENDINGS.get(family.type, ())}
    return names


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from (expression for expression, _ in asked())


async def test_every_series_that_is_asked_for_is_exposed(tmp_path: Path) -> None:
    """Issue 5, section 4: the dashboard and the rules are checked against the metric names."""
    wanted = {name for one in expressions() for name in METRIC.findall(one)}
    assert len(wanted) > 30
    assert wanted - await exposed(tmp_path) == set()


def test_every_label_that_is_asked_for_is_there() -> None:
    """A label that no series has selects nothing, and nobody is told."""
    declared = labels()
    for one in expressions():
        for name, matchers in MATCHERS.findall(one):
            wanted = set(re.findall(r"(\w+) ?(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', "", matchers)))
            assert wanted <= declared.get(name, set()) | SCRAPED, one


def test_series_are_grouped_and_called_by_labels_that_they_have() -> None:
    """The same of `by (...)`, of legends, and of what an alert says."""
    declared = labels()
    told = [(rule["expr"], rule["summary"]) for rule in rules()] + asked()
    for expression, text in told:
        names = METRIC.findall(expression)
        known = set().union(*(declared.get(name, set()) for name in names)) | SCRAPED
        grouped = {label.strip() for some in GROUPED.findall(expression) for label in some.split(",")}
        assert grouped <= known, expression
        assert {one or other for one, other in TOLD.findall(text)} <= known, text


def test_every_alert_says_what_it_is_about_and_how_pressing() -> None:
    """An alert without a reason is noise."""
    assert len({rule["alert"] for rule in rules()}) == len(rules()) >= 15
    for rule in rules():
        assert rule["severity"] in ("page", "ticket")
        assert rule["summary"].endswith(".")
        assert rule["expr"].count("(") == rule["expr"].count(")")


def test_no_panel_lies_over_another() -> None:
    """Grafana moves what overlaps, and each viewer sees another order."""
    document: dict[str, Any] = json.loads(DASHBOARD.read_text())
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])


def test_promtool_takes_the_rules() -> None:
    """Prometheus' own word on its grammar."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        [promtool, "check", "rules", str(ALERTS)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
