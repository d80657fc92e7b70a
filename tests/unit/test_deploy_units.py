"""The units in deploy/: what they say of addax is true of addax."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from addax.config.checks import check
from addax.config.config import Config
from addax.config.options import BY_NAME

ROOT = Path(__file__).parents[2]


def read_unit(name: str) -> dict[str, list[str]]:
    """The settings of a unit by section and name, as ``Section.Name``, in order."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in (ROOT / "deploy" / name).read_text("utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif line and not line.startswith("#"):
            key, separator, value = line.partition("=")
            assert separator, line
            found.setdefault(f"{section}.{key}", []).append(value)
    return found


def options(unit: dict[str, list[str]]) -> dict[str, str]:
    """The options of the command line."""
    program, app, *words = shlex.split(unit["Service.ExecStart"][0])
    assert (Path(program).name, app) == ("addax", "main:app")
    found: dict[str, str] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name = word.removeprefix("--").replace("-", "_")
            # What has no value is a switch.
            found[name] = "on"
        else:
            found[name] = word
    return found


def test_command_line_is_one_that_addax_takes() -> None:
    given = options(read_unit("addax.service"))
    assert given.keys() <= BY_NAME.keys()
    assert check(given)["fd"] == "systemd:web"


def test_reload_finds_a_supervisor_whatever_the_number_of_cores() -> None:
    # A process without one ends by SIGHUP, which systemd takes for an orderly end, after which it starts nothing.
    unit = read_unit("addax.service")
    assert unit["Service.Type"] == ["notify-reload"]
    assert Config("main:app", **{**check(options(unit)), "workers": 1, "bind": []}).use_subprocess


def test_service_takes_the_socket_by_its_name() -> None:
    socket = read_unit("addax.socket")
    assert options(read_unit("addax.service"))["fd"] == f"systemd:{socket['Socket.FileDescriptorName'][0]}"
    assert "Socket.Accept" not in socket


@pytest.mark.parametrize("name", ["Type", "WatchdogSec", "TimeoutStartSec", "TimeoutStopSec", "KillMode", "ExecStart"])
def test_page_quotes_the_service(name: str) -> None:
    unit = read_unit("addax.service")
    page = (ROOT / "docs" / "deployment.md").read_text("utf-8").splitlines()
    assert f"{name}={unit[f'Service.{name}'][0]}" in page


def test_page_quotes_the_socket() -> None:
    unit = read_unit("addax.socket")
    page = (ROOT / "docs" / "deployment.md").read_text("utf-8").splitlines()
    assert f"ListenStream={unit['Socket.ListenStream'][0]}" in page
    assert f"FileDescriptorName={unit['Socket.FileDescriptorName'][0]}" in page
