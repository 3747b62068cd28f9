"""The official OCI conformance suite against a fresh node (issue 2, section 3; CLIENTS.md section 4).

The suite is a Go program of the distribution-spec; its version is pinned in tests/clients/programs.py.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from tests.clients.programs import find
from tests.clients.registries import Node

SUITE_S_MAX: Final = 50.0  # four seconds against docker-registry; below pytest's own limit
REASON_CHARACTERS_MAX: Final = 400  # a failure carries whole request bodies

pytestmark = pytest.mark.clients


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node that mirrors nothing and takes pushes and deletes from everybody."""
    node = Node(tmp_path, upstream_port=None)
    node.start()
    yield node
    node.stop()


@pytest.fixture
def suite() -> Path:
    program = find("conformance")
    if program is None:
        pytest.skip("the conformance suite is missing: python tests/clients/programs.py conformance")
    return program


@pytest.mark.parametrize("version", ["1.1", "1.0", "dev"])
def test_the_official_suite_finds_no_failure(suite: Path, node: Node, tmp_path: Path, version: str) -> None:
    """distribution-spec, conformance: exit 0 means that every test passed or was not asked for."""
    results = tmp_path / "results"
    settings = {
        "OCI_TLS": "disabled",
        "OCI_REGISTRY": node.address,
        "OCI_RESULTS_DIR": str(results),
        "OCI_VERSION": version,
    }
    env = os.environ | settings
    done = subprocess.run([suite], env=env, cwd=tmp_path, capture_output=True, timeout=SUITE_S_MAX, check=False)
    failures = _failures(results / "junit.xml")
    assert not failures, f"{len(failures)} tests failed:\n" + "\n".join(failures)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def _failures(junit: Path) -> list[str]:
    """List the failed tests by name, each with the first words of its reason."""
    cases = ET.parse(junit).iter("testcase")
    return [_failure(case) for case in cases if case.get("status") not in ("passed", "skipped", "disabled")]


def _failure(case: ET.Element) -> str:
    reason = case.findtext("system-out", default="")
    return f"{case.get('name')}: {reason[:REASON_CHARACTERS_MAX]}"
