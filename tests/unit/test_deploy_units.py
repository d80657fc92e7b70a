"""The units in deploy/: what they say of addax is true of addax."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
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


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze (Debian: systemd) is not installed"
)
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    version = re.match(r"systemd (\d+)", run("systemd-analyze", "--version"))
    assert version is not None
    service = (ROOT / "deploy" / "addax.service").read_text("utf-8")
    # What the machine of a test lacks, and what the file itself says of an older systemd.
    changes = {
        "/srv/app/.venv/bin/addax": sys.executable,
        "WorkingDirectory=/srv/app": f"WorkingDirectory={tmp_path}",
        **({"Type=notify-reload": "Type=notify"} if int(version[1]) < 253 else {}),
    }
    for old, new in changes.items():
        # Once in a line that is no comment.
        assert len(re.findall(rf"^[^#\n]*{re.escape(old)}", service, re.MULTILINE)) == 1, old
        service = service.replace(old, new)
    (tmp_path / "addax.service").write_text(service)
    shutil.copy(ROOT / "deploy" / "addax.socket", tmp_path)
    units = [str(tmp_path / name) for name in ("addax.service", "addax.socket")]
    said = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units)
    # Of other units of this machine it may say what it likes.
    assert [line for line in said.splitlines() if "addax." in line] == []


def run(*command: str) -> str:
    """What a command says; it has to succeed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


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


def test_page_and_service_agree_on_what_an_older_systemd_takes() -> None:
    service = (ROOT / "deploy" / "addax.service").read_text("utf-8").splitlines()
    page = (ROOT / "docs" / "deployment.md").read_text("utf-8").splitlines()
    for line in ("Type=notify", "ExecReload=/bin/kill -HUP $MAINPID"):
        assert f"#{line}" in service
        assert line in page


def test_rolling_deploy_without_haproxy_says_so_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    arguments = [sys.executable, str(ROOT / "deploy" / "rolling-deploy.py"), "--admin", str(path), "true"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"HAProxy does not answer at {path}: No such file or directory (--admin)\n"
