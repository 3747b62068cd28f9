"""Rules of the project around the code: documented settings, two commands that are one, nothing of one machine."""

import re
import subprocess
import sys
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from house_files import ROOT, label, tracked

from mirror.config import Access, Home, Host, Iam, Log, Region, Server, Settings, Storage, Tls, Traces, Webhook, load
from mirror.config.identities import load_identities
from mirror.config.settings import Replication
from mirror.rules.destinations import DestinationRule
from mirror.rules.routing import UpstreamRule
from mirror.rules.syncing import SyncRule

USERS = ROOT / "config" / "iam.toml"
EXAMPLES = sorted(set((ROOT / "config").glob("*.toml")) - {USERS})
SHAPES: dict[str, type] = {
    "server": Server,
    "storage": Storage,
    "access": Access,
    "log": Log,
    "traces": Traces,
    "registry": Home,
    "iam": Iam,
    "replication": Replication,
}
LISTS: dict[str, type] = {
    "upstream": UpstreamRule,
    "host": Host,
    "webhook": Webhook,
    "region": Region,
    "destination": DestinationRule,
    "sync": SyncRule,
}
SECRETS = "/etc/mirror/"  # where the examples have their secrets
MACHINE_PATHS = re.compile(
    "|".join(["/" + "work/", "/" + "tmp/v/", "/" + "root/", "/home/" + "(?!somebody)[a-z]", "/opt/" + "wheels"])
)


def example(path: Path, folder: Path) -> Settings:
    """Load an example, its secrets in `folder`."""
    copy = folder / path.name
    copy.write_text(path.read_text().replace(SECRETS, f"{folder}/"))
    (folder / "us-west-2.secret").write_text("a secret")
    return load(copy)


@pytest.mark.parametrize("path", EXAMPLES, ids=label)
def test_an_example_configuration_loads(path: Path, tmp_path: Path) -> None:
    """DESIGN section 3: `config/` is loaded by a test."""
    assert example(path, tmp_path).upstreams


def test_the_example_of_declared_users_loads(tmp_path: Path) -> None:
    """DESIGN section 3: `config/` is loaded by a test; its secrets stand in files of their own."""
    path = tmp_path / "iam.toml"
    path.write_text(USERS.read_text())
    for name in ("ci.secret", "ann.password"):
        (tmp_path / name).write_text("a-secret-of-forty-characters-0123456789x")
        (tmp_path / name).chmod(0o600)
    declared, warnings = load_identities(path)
    assert [user.name for user in declared.users] == ["ci", "ann"]
    assert (len(declared.roles), len(declared.policies), warnings) == (1, 1, ())


def test_every_setting_is_documented() -> None:
    """STYLE, house rules: every setting stands in config/full.toml with a comment before it."""
    document = tomllib.loads((ROOT / "config" / "full.toml").read_text())
    for table, shape in SHAPES.items():
        assert set(document[table]) == {field.name for field in fields(shape)}
    assert set(document["server"]["tls"]) == {field.name for field in fields(Tls)}
    for table, shape in LISTS.items():
        (one,) = document[table]
        assert set(one) == {field.name for field in fields(shape)}


def test_the_full_example_tells_the_defaults(tmp_path: Path) -> None:
    """A default that has changed must change in the text that people read."""
    settings = example(ROOT / "config" / "full.toml", tmp_path)
    assert (settings.server, settings.storage) == (Server(), Storage())
    assert (settings.access, settings.log, settings.traces) == (Access(), Log(), Traces())
    assert (settings.registry, settings.iam) == (Home(), Iam())
    told: dict[str, Any] = {field.name: getattr(settings.upstreams[0], field.name) for field in fields(UpstreamRule)}
    unlike = {"name", "url", "root", "prefix", "immutable_tags"}
    for field in fields(UpstreamRule):
        if field.name not in unlike:
            assert field.default is not MISSING
            assert told[field.name] == field.default, field.name


def test_the_readmes_test_command_is_what_the_build_runs() -> None:
    """Issue, section 1: `.ci/run` calls the README's test command."""
    command = (ROOT / ".ci" / "run").read_text().strip().splitlines()[-1]
    assert command.endswith(".venv/bin/python check")
    assert command in (ROOT / "README.md").read_text()


def test_the_readme_installs_and_starts_a_node_with_one_command() -> None:
    """Issue, section 1: one command that installs and starts a node."""
    readme = (ROOT / "README.md").read_text()
    assert "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/mirror serve" in readme


def test_the_lock_has_every_dependency_and_no_address() -> None:
    """Issue, section 1: locked requirements; where packages come from is each machine's own affair."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, wanted in (
        ("requirements.txt", project["dependencies"]),
        ("requirements-test.txt", project["dependencies"] + project["optional-dependencies"]["test"]),
    ):
        text = (ROOT / name).read_text()
        pinned = set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))
        assert {re.split(r"[\[>=<]", line)[0] for line in wanted} <= pinned
        assert "://" not in text
        assert "--find-links" not in text
        assert text.count("==") == len(pinned)
        assert "--hash=sha256:" in text


@pytest.mark.parametrize("path", tracked(), ids=label)
def test_a_file_has_no_path_of_somebodys_machine(path: Path) -> None:
    """A path of one machine is a lie on every other."""
    text = path.read_bytes().decode("utf-8", "replace")
    assert not MACHINE_PATHS.search(text)


def test_imports_only_go_down() -> None:
    """DESIGN section 3: the floors, held by import-linter; here too so that the tests alone say it."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout
