"""Whether a process has a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from addax.core.terminal import has_terminal

ASK = "from addax.core.terminal import has_terminal; print(has_terminal())"


def test_process_without_a_terminal() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ASK], capture_output=True, text=True, start_new_session=True, check=True
    )
    assert ran.stdout == "False\n"


def test_process_with_a_terminal() -> None:
    ours, theirs = pty.openpty()
    # What the first process of a session opens becomes its terminal.
    take = f"import os; os.close(os.open({os.ttyname(theirs)!r}, os.O_RDWR)) or None; {ASK}"
    try:
        # It stays its terminal as long as somebody holds it open.
        command = [sys.executable, "-c", take]
        ran = subprocess.run(command, capture_output=True, text=True, start_new_session=True, check=True)
    finally:
        os.close(ours)
        os.close(theirs)
    assert ran.stdout == "True\n"


def test_platform_without_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "ctermid")
    assert not has_terminal()
