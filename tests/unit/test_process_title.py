"""Titles of processes, with setproctitle, with one that is only played, and without."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import ModuleType

import pytest

from addax.config.process_title import set_main_title, set_title, title


@pytest.mark.parametrize(
    ("role", "name", "expected"),
    [
        ("supervisor", None, "addax: supervisor [main:app]"),
        ("worker 2", None, "addax: worker 2 [main:app]"),
        ("worker 2", "shop", "shop: worker 2 [main:app]"),
        ("worker 2", "", "addax: worker 2 [main:app]"),
    ],
)
def test_title(role: str, name: str | None, expected: str) -> None:
    assert title(role, "main:app", name) == expected


@pytest.mark.parametrize(("name", "short"), [("addax", "addax"), ("my shop", "my-shop")])
def test_set_title_hands_the_text_on(monkeypatch: pytest.MonkeyPatch, name: str, short: str) -> None:
    titles: list[str] = []
    module = ModuleType("setproctitle")
    module.setproctitle = titles.append  # type: ignore[attr-defined]
    module.setthreadtitle = titles.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "setproctitle", module)
    assert set_title(f"{name}: worker 1 [main:app]") is True
    assert titles == [f"{name}: worker 1 [main:app]", short]


def test_set_title_without_setproctitle_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "setproctitle", None)
    assert set_title("addax: worker 1 [main:app]") is False


@pytest.mark.parametrize(("name", "warnings_count"), [(None, 0), ("shop", 1)])
def test_title_that_was_asked_for_and_cannot_be_had_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str | None, warnings_count: int
) -> None:
    monkeypatch.setitem(sys.modules, "setproctitle", None)
    set_main_title("server", "main:app", name)
    assert caplog.text.count("--process-title has no effect: it needs setproctitle") == warnings_count


def test_process_is_shown_with_its_title_where_setproctitle_is_installed() -> None:
    code = (
        "from addax.config.process_title import set_title\n"
        "print(set_title('addax: worker 1 [main:app]'))\n"
        "print(open('/proc/self/cmdline').read().rstrip('\\0'))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    is_installed = importlib.util.find_spec("setproctitle") is not None
    assert found[0] == str(is_installed)
    assert (found[1] == "addax: worker 1 [main:app]") is is_installed
