"""Rules that every module keeps: small, explained, well named, importable alone, and no task without an owner."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from house_files import MODULES, ROOT, label, module_name

LINES_MAX = 300
FUNCTION_LINES_MAX = 70
BAD_NAMES = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "manager",
    "managers",
    "service",
    "services",
    "base",
    "misc",
}

each_module = pytest.mark.parametrize("path", MODULES, ids=label)


@each_module
def test_a_module_says_what_it_is(path: Path) -> None:
    """STYLE: a module opens with what it is, where the truth comes from, what it never does."""
    text = path.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "no docstring"


@each_module
def test_a_module_is_small(path: Path) -> None:
    """DESIGN section 3: soft limit of 300 lines a file, 70 a function."""
    text = path.read_text()
    assert len(text.splitlines()) <= LINES_MAX
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES_MAX, node.name


@each_module
def test_a_module_is_named_in_the_fields_terms(path: Path) -> None:
    """STYLE: no utils, helpers, manager, service, base."""
    assert not BAD_NAMES & set(re.split(r"[._]", module_name(path)))


@each_module
def test_every_task_has_an_owner_and_a_name(path: Path) -> None:
    """DESIGN section 5: `create_task` only on a TaskGroup, always with a name; nothing outlives its owner."""
    for call in calls(path):
        function = call.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        assert name != "ensure_future", f"line {call.lineno}"
        if name == "create_task":
            owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
            assert re.search(r"(^|[._])(group|tasks)$", owner), f"line {call.lineno}: {owner}.create_task"
            assert any(keyword.arg == "name" for keyword in call.keywords), f"line {call.lineno}: a task without a name"


@each_module
def test_only_the_edges_print_and_read_the_environment(path: Path) -> None:
    """DESIGN section 5: only `cli` and `node` read settings or the environment; `cli` is the only printing place."""
    module = module_name(path)
    if module.startswith("mirror.cli"):
        return
    text = path.read_text()
    assert not any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls(path))
    if not module.startswith("mirror.node"):
        assert not re.search(r"\bos\.(environ|getenv)\b", text)


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


CORES = os.cpu_count() or 1
IMPORT_S_MAX = 50
IMPORT_EACH = """
import importlib, sys
for name in sys.argv[1:]:
    for loaded in [module for module in sys.modules if module.split(".")[0] == "mirror"]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"{name}: {error!r}")
"""


def test_each_module_can_be_imported_alone() -> None:
    """STYLE, house rules: no module needs another one to have been imported before it."""
    names = [module_name(path) for path in MODULES if "migrations" not in path.parts]
    # Warnings stay out: counters are registered anew for each import, in a registry of their own.
    command = [sys.executable, "-c", IMPORT_EACH]
    parts = [names[number::CORES] for number in range(CORES)]
    running = [subprocess.Popen([*command, *part], cwd=ROOT, stdout=subprocess.PIPE, text=True) for part in parts]
    for one in running:
        said, _ = one.communicate(timeout=IMPORT_S_MAX)
        assert (said, one.returncode) == ("", 0)
