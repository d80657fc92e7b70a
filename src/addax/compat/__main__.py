"""``python -m addax.compat -- COMMAND …``: run a command, and whatever Python it starts, with addax as uvicorn.

The command replaces this process, so its exit code, its signals and its terminal are its own. Its Python finds the
stand-in through ``startup/sitecustomize.py``, whose directory is put in front of PYTHONPATH. A Python that ignores
PYTHONPATH (options ``-E``, ``-I``) or leaves out its ``site`` module (``-S``) is not reached.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

_USAGE = """usage: python -m addax.compat [--] COMMAND [ARGUMENT ...]

Run COMMAND, a console script or "python ...", and every Python process that it starts, with addax in place of uvicorn.
UVICORN_... variables are passed on as ADDAX_..., unless those are set.
"""
_EXIT_USAGE = 2
#: What shells use.
_EXIT_NOT_FOUND = 127

_STARTUP = str(Path(__file__).parent / "startup")


def main(arguments: list[str]) -> int:
    """Run a command.

    Args:
        arguments: the command, after ``--`` or without it.

    Returns:
        The exit code, if there is still a process to return it.
    """
    if arguments[:1] in (["-h"], ["--help"]):
        print(_USAGE, end="")
        return 0
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command or (command is arguments and command[0].startswith("-")):
        print(_USAGE, end="", file=sys.stderr)
        return _EXIT_USAGE
    found = find_command(command)
    if found is None:
        print(f"addax.compat: {command[0]}: no such command", file=sys.stderr)
        return _EXIT_NOT_FOUND
    return _run(found, make_environment(os.environ))


def find_command(command: list[str]) -> list[str] | None:
    """Find the program, first among the scripts of this Python's environment, which need not be activated.

    Returns:
        The command with the program's path; None if there is no such program. Where there is no program ``uvicorn``,
        addax's own command line.
    """
    name, *arguments = command
    places = [sysconfig.get_path("scripts"), os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)]
    program = shutil.which(name, path=os.pathsep.join(places))
    if program is not None:
        return [program, *arguments]
    return [sys.executable, "-m", "uvicorn", *arguments] if name == "uvicorn" else None


def make_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The command's environment variables, made of this process's."""
    made = dict(environment)
    for name, value in environment.items():
        if name.startswith("UVICORN_"):
            made.setdefault(f"ADDAX_{name.removeprefix('UVICORN_')}", value)
    paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path and path != _STARTUP]
    made["PYTHONPATH"] = os.pathsep.join([_STARTUP, *paths])
    return made


def _run(command: list[str], environment: dict[str, str]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform == "win32":
        # There os.execve starts another process and lets the caller's shell go on at once.
        return subprocess.call(command, env=environment)
    try:
        os.execve(command[0], command, environment)
    except OSError as error:
        print(f"addax.compat: {command[0]}: {error.strerror}", file=sys.stderr)
        return _EXIT_NOT_FOUND


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
