"""Rules that every module keeps: small, explained, well named, importable alone, and no task without an owner."""

import ast
import re
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from house_files import MODULES, label, module_name

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


def test_each_module_can_be_imported_alone() -> None:
    """STYLE, house rules: no module needs another one to have been imported before it: they import in no circle."""
    imported = {module_name(path): set(imports(path)) for path in MODULES}
    try:
        tuple(TopologicalSorter(imported).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def imports(path: Path) -> Iterator[str]:
    """What of ours is run when a module is imported: what it names, and the packages above that."""
    module = module_name(path)
    for node in run_at_import(ast.parse(path.read_text()).body):
        named = [one for one in names(node) if one in NAMES]
        yield from named
        # A package that the module itself is in has begun before it.
        yield from (
            one for name in named for one in above(name) if one in NAMES and one not in (module, *above(module))
        )


def names(node: ast.stmt) -> list[str]:
    """The modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        submodules = [f"{node.module}.{alias.name}" for alias in node.names]
        return [one if one in NAMES else node.module for one in submodules]
    return []


def run_at_import(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, of its classes and branches, but not of functions or for the type checker alone."""
    for node in body:
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from run_at_import(node.orelse)
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            yield from run_at_import(
                one for field in ("body", "orelse", "handlers", "finalbody") for one in getattr(node, field, ())
            )


def above(module: str) -> list[str]:
    """The packages that a module is in."""
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


BODIES = ("body", "orelse", "handlers", "finalbody")
NAMES = {module_name(path) for path in MODULES}
