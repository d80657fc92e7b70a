"""Which variant of a module is loaded. The machine code here is a file of its name that no Python could load."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, SourceFileLoader
from pathlib import Path

import pytest

import addax
from addax import _pure
from addax.config.checks import misspelt_variables

SOURCE = Path(addax.__file__).parent
SUFFIX = EXTENSION_SUFFIXES[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an addax in which a module of the hot path is compiled, and another there only so."""
    root = tmp_path_factory.mktemp("site")
    shutil.copytree(SOURCE, root / "addax", ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyd"))
    for module in ("http1/connection", "http1/machine_code"):
        (root / "addax" / (module + SUFFIX)).write_bytes(b"this is no library")
    return root


def python(site: Path, pure: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Coverage, which follows into subprocesses, has no business with a copy.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("COVERAGE_") and name != _pure.PURE_VARIABLE
    }
    environment |= {"PYTHONPATH": str(site), **({_pure.PURE_VARIABLE: pure} if pure is not None else {})}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=site,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def answer(site: Path, pure: str | None, code: str) -> str:
    done = python(site, pure, "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("pure", "variant"), [("1", "pure Python"), ("yes", "pure Python"), ("0", "compiled")])
def test_the_variable_chooses_the_variant(site: Path, pure: str, variant: str) -> None:
    done = python(site, pure, "-m", "addax", "--version")
    assert done.stdout.endswith(f", {variant})\n"), done.stderr


@pytest.mark.parametrize("pure", [None, "", "0"])
def test_without_the_variable_nothing_is_in_the_way(site: Path, pure: str | None) -> None:
    code = "import sys, addax, addax.core.errors; print('addax._pure' in sys.modules, addax.is_compiled())"
    assert answer(site, pure, code) == "False True"
    done = python(site, pure, "-c", "import addax.http1.connection")
    assert f"connection{SUFFIX}" in done.stderr
    assert done.returncode == 1


def test_pure_modules_have_sources_and_can_be_loaded_again(site: Path) -> None:
    code = """
import importlib, inspect, sys
import addax
from addax.http1 import connection
before = len(sys.meta_path)
importlib.reload(addax)
importlib.invalidate_caches()
importlib.reload(connection)
assert len(sys.meta_path) == before
assert inspect.getsource(connection.Http1Connection).startswith("class Http1Connection")
print(addax.is_compiled(), connection.__file__)
"""
    assert answer(site, "1", code) == f"False {site / 'addax/http1/connection.py'}"


def test_a_package_that_is_imported_afresh_has_one_finder(site: Path) -> None:
    code = """
import sys
import addax
before = len(sys.meta_path)
for name in [name for name in sys.modules if name.partition(".")[0] == "addax"]:
    del sys.modules[name]
import addax.http1.connection
print(len(sys.meta_path) - before)
"""
    assert answer(site, "1", code) == "0"


def test_a_module_without_source_is_missing_and_says_why(site: Path) -> None:
    done = python(site, "1", "-c", "import addax.http1.machine_code")
    assert done.stderr.endswith(
        "ModuleNotFoundError: No module named 'addax.http1.machine_code' in plain Python, which ADDAX_PURE asks for\n"
    )


def test_spawned_children_are_pure_too(site: Path) -> None:
    script = site / "spawning.py"
    script.write_text(
        """
import multiprocessing
from addax.http1 import connection

def work():
    return connection.__file__, connection.Http1Connection

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        file, kind = pool.apply(work)
    print(kind is connection.Http1Connection, file)
"""
    )
    done = python(site, "1", str(script))
    assert done.stdout == f"True {site / 'addax/http1/connection.py'}\n", done.stderr


def test_a_package_in_an_archive_is_left_to_others(site: Path) -> None:
    archive = shutil.make_archive(str(site / "archive"), "zip", site, "addax")
    code = f"import sys; sys.path.insert(0, {archive!r}); import addax.core.errors as module; print(module.__file__)"
    assert answer(site, "1", code) == os.path.join(archive, "addax", "core", "errors.py")


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "both.py").write_text("")
    for name in ("both", "only"):
        (tmp_path / (name + SUFFIX)).write_bytes(b"")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "bare").mkdir()
    return str(tmp_path)


def test_finder_takes_sources(folder: str) -> None:
    finder = _pure.PureFinder()
    both = finder.find_spec("addax.both", [folder])
    assert both is not None
    assert isinstance(both.loader, SourceFileLoader)
    package = finder.find_spec("addax.package", [folder])
    assert package is not None
    assert package.submodule_search_locations == [os.path.join(folder, "package")]


def test_finder_knows_what_is_not_there(folder: str) -> None:
    finder = _pure.PureFinder()
    with pytest.raises(ModuleNotFoundError, match="in plain Python") as error:
        finder.find_spec("addax.only", [folder])
    assert error.value.name == "addax.only"
    assert finder.find_spec("addax.nothing", [folder]) is None
    bare = finder.find_spec("addax.bare", [folder])
    assert bare is not None
    assert bare.loader is None
    for others in ("other.both", "addaxes.both"):
        assert finder.find_spec(others, [folder]) is None
    assert finder.find_spec("addax", None) is None


def test_finder_sees_new_files_after_its_caches_were_dropped(folder: str) -> None:
    finder = _pure.PureFinder()
    assert finder.find_spec("addax.late", [folder]) is None
    stamp = os.stat(folder).st_mtime_ns
    Path(folder, "late.py").write_text("")
    # As on a file system with coarse times, where the directory does not look changed.
    os.utime(folder, ns=(stamp, stamp))
    assert finder.find_spec("addax.late", [folder]) is None
    finder.invalidate_caches()
    assert finder.find_spec("addax.late", [folder]) is not None


def test_finder_is_installed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "meta_path", [finder for finder in sys.meta_path if type(finder).__module__ != _pure.__name__]
    )
    before = len(sys.meta_path)
    _pure.force_pure()
    _pure.force_pure()
    assert isinstance(sys.meta_path[0], _pure.PureFinder)
    assert len(sys.meta_path) == before + 1


def test_variant_is_that_of_the_connection() -> None:
    from addax.http1 import connection

    assert addax.is_compiled() == isinstance(connection.__loader__, ExtensionFileLoader)


def test_the_variable_is_not_a_misspelt_option() -> None:
    assert misspelt_variables({_pure.PURE_VARIABLE: "1"}) == []
