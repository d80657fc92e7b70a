"""What a process begins with, on its way through a file."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from addax.core.errors import ConfigError, StartupError
from addax.server.boot import Boot, read_boot


@pytest.fixture(autouse=True)
def _keep_what_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


def through_a_file(data: bytes) -> Boot:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return read_boot(file.fileno())


def test_options_and_the_places_of_modules_arrive() -> None:
    boot = Boot("main:app", {"port": 1, "headers": [("a", "b")]}, ["prog", "--x"])
    sys.path.append("/extra")
    data = boot.dump()
    sys.path.remove("/extra")
    assert through_a_file(data) == boot
    assert sys.path[-1] == "/extra"
    assert sys.argv == ["prog", "--x"]


def test_value_that_cannot_be_passed_on_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^callback_notify: <function .* cannot be passed to other processes"):
        Boot("main:app", {"port": 1, "callback_notify": lambda: None}, []).dump()


MAIN = """
class Thing:
    def __eq__(self, other):
        return type(other).__name__ == "Thing"

ran_as = __name__
"""


def test_main_module_is_run_under_another_name_if_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    (tmp_path / "script.py").write_text(MAIN)
    main = types.ModuleType("__main__")
    main.__file__ = str(tmp_path / "script.py")
    exec(MAIN, main.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", main)
    data = Boot("__main__:app", {"thing": main.Thing()}, []).dump()
    boot = through_a_file(data)
    assert boot.options["thing"] == main.Thing()
    assert sys.modules["__main__"] is not main
    assert sys.modules["__main__"].ran_as == "__mp_main__"  # type: ignore[attr-defined]


def test_main_module_that_fails_is_a_failed_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    (tmp_path / "script.py").write_text("raise SystemExit('never without a guard')")
    main = types.ModuleType("__main__")
    main.__file__ = str(tmp_path / "script.py")
    monkeypatch.setitem(sys.modules, "__main__", main)
    data = Boot("__main__:app", {}, []).dump()
    with pytest.raises(StartupError, match="never without a guard"):
        through_a_file(data)


def test_several_processes_may_read_one_file() -> None:
    data = Boot("main:app", {}, []).dump()
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        assert read_boot(file.fileno()) == read_boot(file.fileno())
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == len(data)
