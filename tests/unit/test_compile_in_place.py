"""Compiled modules follow their sources: a wrong answer here, and the suite tests machine code of another day."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import outdated_modules

ROOT = Path(__file__).parents[2]
SUFFIX = ".test-python.so"
LONG_AGO = (1_000_000_000, 1_000_000_000)
#: Stands in for the real one: notes how it was called, and "compiles" by joining the sources.
SETUP = f"""
import sys
from pathlib import Path
with open("calls", "a") as calls:
    print(*sys.argv[1:], file=calls)
if Path("broken").exists():
    sys.exit(1)
for pxd in [] if Path("no-compiler").exists() else Path("src").rglob("*.pxd"):
    pxd.with_suffix("{SUFFIX}").write_bytes(pxd.read_bytes() + pxd.with_suffix(".py").read_bytes())
"""
BUILD = "-q build_ext --inplace"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compile_in_place", ROOT / "scripts" / "compile_in_place.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("ADDAX_SANITIZE", "CC", "CFLAGS", "LDFLAGS"):
        monkeypatch.delenv(variable, raising=False)
    package = tmp_path / "src" / "addax"
    package.mkdir(parents=True)
    for name in ("a.py", "a.pxd", "b.py", "b.pxd", "plain.py"):
        (package / name).write_text(name)
    (tmp_path / "setup.py").write_text(SETUP)
    return tmp_path


@pytest.fixture
def update(checkout: Path) -> Callable[[], list[str]]:
    """Bring up to date, and say how setup.py was called for it."""
    script = _load()

    def update() -> list[str]:
        calls = checkout / "calls"
        calls.write_text("")
        script.bring_up_to_date(checkout, SUFFIX)
        return calls.read_text().splitlines()

    return update


def test_builds_once(checkout: Path, update: Callable[[], list[str]]) -> None:
    assert update() == [f"{BUILD} --force"]
    assert (checkout / "src/addax" / f"a{SUFFIX}").read_text() == "a.pxda.py"
    assert update() == []


@pytest.mark.parametrize("name", ["a.py", "a.pxd"])
def test_a_changed_source_is_compiled_even_with_an_old_time(
    name: str, checkout: Path, update: Callable[[], list[str]]
) -> None:
    update()
    source = checkout / "src/addax" / name
    source.write_text("changed")
    os.utime(source, LONG_AGO)
    assert update() == [BUILD]
    assert source.stat().st_mtime > LONG_AGO[1]
    assert "changed" in (checkout / "src/addax" / f"a{SUFFIX}").read_text()
    assert update() == []


def test_what_was_only_checked_out_again_keeps_the_time_by_which_it_was_compiled(
    checkout: Path, update: Callable[[], list[str]]
) -> None:
    same, changed = (checkout / "src/addax" / name for name in ("b.py", "a.py"))
    update()
    before = same.stat().st_mtime_ns
    same.write_bytes(same.read_bytes())
    os.utime(same, ns=(before + 5_000_000_000, before + 5_000_000_000))
    changed.write_text("changed")
    assert update() == [BUILD]
    assert same.stat().st_mtime_ns == before


@pytest.mark.parametrize("text", ["", "{", "{}", '{"sources": {}}'])
def test_a_note_that_cannot_be_used_is_as_none(text: str, checkout: Path, update: Callable[[], list[str]]) -> None:
    update()
    (checkout / "build" / f"compiled{SUFFIX}.json").write_text(text)
    assert update() == [f"{BUILD} --force"]


def test_a_new_declaration_is_compiled(checkout: Path, update: Callable[[], list[str]]) -> None:
    update()
    (checkout / "src/addax/plain.pxd").write_text("")
    assert update() == [BUILD]


def test_sources_that_are_not_compiled_do_not_matter(checkout: Path, update: Callable[[], list[str]]) -> None:
    update()
    (checkout / "src/addax/plain.py").write_text("changed")
    assert update() == []


def test_other_settings_compile_everything(
    checkout: Path, update: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    update()
    monkeypatch.setenv("CFLAGS", "-O0")
    assert update() == [f"{BUILD} --force"]
    (checkout / "setup.py").write_text(SETUP + "# changed")
    assert update() == [f"{BUILD} --force"]


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text("of another build")])
def test_results_of_another_build_are_not_trusted(
    spoil: Callable[[Path], None], checkout: Path, update: Callable[[], list[str]]
) -> None:
    update()
    spoil(checkout / "src/addax" / f"b{SUFFIX}")
    assert update() == [BUILD]
    assert (checkout / "src/addax" / f"b{SUFFIX}").read_text() == "b.pxdb.py"


def test_sources_that_only_look_new_are_not_compiled_again(checkout: Path, update: Callable[[], list[str]]) -> None:
    update()
    result, source = (checkout / "src/addax" / name for name in (f"a{SUFFIX}", "a.py"))
    os.utime(result, LONG_AGO)
    assert update() == []
    assert result.stat().st_mtime >= source.stat().st_mtime


def test_a_failed_build_is_tried_again(checkout: Path, update: Callable[[], list[str]]) -> None:
    (checkout / "broken").touch()
    for _ in range(2):
        with pytest.raises(subprocess.CalledProcessError):
            update()
    (checkout / "broken").unlink()
    assert update() == [f"{BUILD} --force"]


def test_without_a_compiler_it_is_tried_again(checkout: Path, update: Callable[[], list[str]]) -> None:
    (checkout / "no-compiler").touch()
    assert update() == [f"{BUILD} --force"]
    (checkout / "no-compiler").unlink()
    assert update() == [f"{BUILD} --force"]
    assert update() == []


def test_nothing_to_compile(tmp_path: Path) -> None:
    _load().bring_up_to_date(tmp_path, SUFFIX)
    assert list(tmp_path.iterdir()) == []


# --- the guard in tests/conftest.py -----------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with two compiled modules, as far as the import system looks before it loads."""
    package = tmp_path / "guarded"
    package.mkdir()
    for name in ("__init__.py", "a.py", "a.pxd", "b.pyx", "plain.py"):
        (package / name).write_text("")
        os.utime(package / name, LONG_AGO)
    for name in ("a", "b"):
        (package / f"{name}{EXTENSION_SUFFIXES[0]}").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "guarded", raising=False)
    return package


def test_guard_accepts_what_is_newer_than_its_sources(package: Path) -> None:
    os.utime(package / "plain.py")
    assert outdated_modules(package) == []


@pytest.mark.parametrize(("name", "module"), [("a.py", "a"), ("a.pxd", "a"), ("b.pyx", "b")])
def test_guard_names_what_was_edited_since(name: str, module: str, package: Path) -> None:
    later = (package / f"{module}{EXTENSION_SUFFIXES[0]}").stat().st_mtime_ns + 1_000_000_000
    os.utime(package / name, ns=(later, later))
    assert outdated_modules(package) == [f"guarded.{module}"]


def test_guard_names_what_is_not_compiled_like_the_others(package: Path) -> None:
    (package / f"b{EXTENSION_SUFFIXES[0]}").unlink()
    assert outdated_modules(package) == ["guarded.b"]


def test_guard_has_nothing_against_plain_python(package: Path) -> None:
    for name in ("a", "b"):
        (package / f"{name}{EXTENSION_SUFFIXES[0]}").unlink()
    assert outdated_modules(package) == []
