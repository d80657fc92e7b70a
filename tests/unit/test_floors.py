"""The shape of the package, read from its source: who may import whom, and where third-party libraries come in."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"

#: Whatever is not named here is the edge.
FLOORS = {
    "_pure": 0,
    "_version": 0,
    "core": 0,
    "asgi": 1,
    "observe": 1,
    "http1": 2,
    "http2": 2,
    "websocket": 2,
    "net": 3,
    "loops": 3,
    "config": 3,
    "server": 4,
    "supervise": 4,
}
EDGE = 5
SIBLINGS = ("server", "supervise")
THIRD_PARTY = (
    "httptools",
    "h11",
    "uvloop",
    "click",
    "watchfiles",
    "a2wsgi",
    "dotenv",
    "yaml",
    "wsproto",
    "setproctitle",
    "gunicorn",
)
NOT_IN_CORE = ("asyncio", "ssl", "click", "logging.config")


class Import(NamedTuple):
    target: str
    #: Executed when the importing module is.
    is_eager: bool


def _module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def _room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def _floor(module: str) -> int:
    return FLOORS.get(_room(module), EDGE)


def _imports(module: str) -> list[Import]:
    return list(_walk(TREES[module], module, True))


def _walk(node: ast.AST, module: str, eager: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, eager) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (Import(target, eager) for target in _from_targets(node, module))
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant) and _is_importing(node):
        yield Import(str(node.args[0].value), False)
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        for statement in node.body:
            yield from _walk(statement, module, False)
        for statement in node.orelse:
            yield from _walk(statement, module, eager)
        return
    inside = eager and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, module, inside)


def _is_importing(call: ast.Call) -> bool:
    return getattr(call.func, "id", getattr(call.func, "attr", "")) == "import_module"


def _from_targets(node: ast.ImportFrom, module: str) -> list[str]:
    assert node.level == 0, f"{module} has a relative import"
    assert node.module is not None
    # "from package import module" imports the module, "from module import name" only the module.
    names = [f"{node.module}.{alias.name}" for alias in node.names]
    modules = [name for name in names if name in FILES]
    return modules + ([node.module] if len(modules) < len(names) else [])


def _inside(module: str) -> list[Import]:
    return [found for found in _imports(module) if found.target.split(".")[0] == "addax"]


def test_source_is_found() -> None:
    assert {"addax", "addax.core.errors", "addax.config.options", "addax.cli"} <= FILES.keys()


@pytest.mark.parametrize("module", FILES)
def test_module_imports_no_higher_floor(module: str) -> None:
    higher = [found.target for found in _inside(module) if _floor(found.target) > _floor(module)]
    assert not higher, f"{module} (floor {_floor(module)}) imports {higher}"


@pytest.mark.parametrize("module", [name for name in FILES if _room(name) in SIBLINGS])
def test_siblings_do_not_import_each_other(module: str) -> None:
    other = {"server": "supervise", "supervise": "server"}[_room(module)]
    assert other not in [_room(found.target) for found in _inside(module)]


@pytest.mark.parametrize("module", [name for name in FILES if _floor(name) == 0])
def test_core_imports_only_the_standard_library(module: str) -> None:
    for target, _ in _imports(module):
        top = target.split(".")[0]
        assert top in sys.stdlib_module_names or _floor(target) == 0, f"{module} imports {target}"
        assert not any(target == name or target.startswith(name + ".") for name in NOT_IN_CORE), target


def test_no_import_cycle() -> None:
    edges = {
        name: [found.target for found in _inside(name) if found.is_eager and found.target in FILES] for name in FILES
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, "import cycle: " + " → ".join((*path[path.index(name) :], name))
        if name not in done:
            for target in edges[name]:
                visit(target, (*path, name))
            done.add(name)

    for name in FILES:
        visit(name, ())


def test_third_party_library_is_imported_in_one_file() -> None:
    users = defaultdict(set)
    for name in FILES:
        for target, _ in _imports(name):
            users[target.split(".")[0]].add(name)
    assert {library: users[library] for library in THIRD_PARTY if len(users[library]) > 1} == {}
    foreign = {top for top in users if top not in sys.stdlib_module_names} - {"addax", "__future__"}
    assert foreign <= {*THIRD_PARTY, "tomli", "tomllib", "typing_extensions"}


def test_import_of_the_package_loads_nothing_but_the_version() -> None:
    eager = {found.target for found in _imports("addax") if found.is_eager}
    assert {target for target in eager if target.startswith("addax")} == {"addax._version"}


def test_cycle_finder_sees_imports_of_all_shapes() -> None:
    source = (
        "import a.b\nfrom addax.core import errors, registry\nif TYPE_CHECKING:\n    import c\ndef f():\n    import d\n"
    )
    found = list(_walk(ast.parse(source), "addax.x", True))
    assert found == [
        Import("a.b", True),
        Import("addax.core.errors", True),
        Import("addax.core.registry", True),
        Import("c", False),
        Import("d", False),
    ]
