"""Play the Autobahn testsuite's fuzzing client against an echo application, and judge its report.

``scripts/autobahn`` calls this with an interpreter that has addax. The testsuite is a program for Python 2.7: one is
looked for in $PYTHON27, on PATH, and among pyenv's. It is given an environment below .venv-autobahn.

Exit code 0: all passed, or there is nothing to run the testsuite with and ``--require`` was not given. 1: a case
failed, or was not as it should be and nobody has explained why (see ``EXPLAINED``). 2: it was not run to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv-autobahn"
REPORTS = ROOT / "build" / "autobahn"
#: The last virtualenv that makes an environment for 2.7, and what is put into it; its other requirements are as old as
#: Python 2.7 is, and change no more.
VIRTUALENV = "virtualenv<20.22"
TESTSUITE = "autobahntestsuite==25.10.1"

#: Cases that are not plainly OK, and why that is right: the section of docs/conformance.md says more.
EXPLAINED: dict[str, str] = {}

#: Of the cases of compression, each with a thousand messages, what ``--short`` plays: all kinds of data (12.N) and of
#: parameters (13.N), and some sizes: 16 bytes to 4 KiB, and 8 KiB in frames of 256 bytes.
SAMPLES = {"12.1.1", "12.2.4", "12.3.11", "12.4.3", "12.5.5", *(f"13.{kind}.{1 + kind % 4}" for kind in range(1, 8))}
#: What it leaves out.
LONG = [
    "9.*",
    *sorted(
        {f"{group}.{kind}.{size}" for group in (12, 13) for kind in range(1, 8) for size in range(1, 19)} - SAMPLES
    ),
]

GROUPS = {
    1: "framing",
    2: "pings and pongs",
    3: "reserved bits",
    4: "opcodes",
    5: "fragmentation",
    6: "UTF-8",
    7: "closing",
    9: "limits, performance",
    10: "automatic fragmentation",
    12: "compression: messages",
    13: "compression: parameters",
}
VERDICTS = ("OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "FAILED")


async def echo(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """The application: sends each message back."""
    if scope["type"] != "websocket":
        raise RuntimeError(f"a scope of type {scope['type']} is not served")
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        if text is None:
            await send({"type": "websocket.send", "bytes": message["bytes"]})
        else:
            await send({"type": "websocket.send", "text": text})


# ---- the environment -------------------------------------------------------------------------------------------------


class Unavailable(Exception):
    """The testsuite cannot be run here."""


def pythons() -> Iterator[str]:
    """What may be a Python 2.7."""
    if "PYTHON27" in os.environ:
        yield os.environ["PYTHON27"]
        return
    found = shutil.which("python2.7")
    if found is not None:
        yield found
    pyenv_root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for python in sorted((pyenv_root / "versions").glob("2.7*/bin/python2.7"), reverse=True):
        yield str(python)


def is_python27(python: str) -> bool:
    """Whether it runs; a shim of pyenv without a version behind it does not."""
    command = [python, "-c", "import sys, ssl, zlib; sys.exit(sys.version_info[:2] != (2, 7))"]
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def prepare() -> Path:
    """Install the testsuite if it is not yet; returns its program."""
    environment = ENVIRONMENT / "python2.7"
    program = environment / "bin" / "wstest"
    stamp = ENVIRONMENT / "installed"
    if stamp.exists() and stamp.read_text() == TESTSUITE and is_python27(str(environment / "bin" / "python")):
        return program
    python = next(filter(is_python27, pythons()), None)
    if python is None:
        raise Unavailable(
            "the Autobahn testsuite needs Python 2.7, and there is none: neither $PYTHON27, nor python2.7 on PATH, nor"
            " one of pyenv (pyenv install 2.7.18)"
        )
    print(f"Preparing {environment} with {python}", flush=True)
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    virtualenv = ENVIRONMENT / "virtualenv"
    run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(virtualenv), VIRTUALENV])
    run(
        [sys.executable, "-m", "virtualenv", "--quiet", "--python", python, str(environment)],
        env=os.environ | {"PYTHONPATH": str(virtualenv)},
    )
    run([str(environment / "bin" / "pip"), "install", "--quiet", TESTSUITE])
    stamp.write_text(TESTSUITE)
    return program


def run(command: list[str], env: dict[str, str] | None = None) -> None:
    """Run a step of the preparation; what it says is shown only if it fails."""
    if env is None:
        # Settings of the interpreter that runs this are not for the one that is run.
        env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"{' '.join(command)}: {error}") from None
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(command)} failed:\n{done.stdout}")


# ---- the run ---------------------------------------------------------------------------------------------------------


def server_command(arguments: argparse.Namespace, fd: int) -> list[str]:
    """How the server is started that is tested."""
    return [
        *(sys.executable, "-m", arguments.server, "run_autobahn:echo", "--app-dir", str(ROOT / "scripts")),
        *("--fd", str(fd), "--ws", arguments.ws, "--loop", arguments.loop, "--log-level", "warning"),
    ]


def play(wstest: Path, arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Run server and testsuite; returns what the testsuite found, by case."""
    agent = "-".join((arguments.server, arguments.ws, arguments.loop)).replace(":", ".")
    reports = REPORTS / agent
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        listener.set_inheritable(True)
        port = listener.getsockname()[1]
        with (reports / "server.log").open("w") as log:
            server = subprocess.Popen(
                server_command(arguments, listener.fileno()),
                pass_fds=[listener.fileno()],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
    try:
        specification: dict[str, Any] = {
            "outdir": str(reports),
            "servers": [{"agent": agent, "url": f"ws://127.0.0.1:{port}/"}],
            "cases": arguments.cases or ["*"],
            "exclude-cases": [] if arguments.cases or not arguments.short else LONG,
            "exclude-agent-cases": {},
        }
        (reports / "fuzzingclient.json").write_text(json.dumps(specification))
        with (reports / "wstest.log").open("w") as log:
            client = subprocess.Popen(
                [str(wstest), "--mode", "fuzzingclient", "--spec", str(reports / "fuzzingclient.json")],
                cwd=reports,
                env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            watch(client, server, arguments.timeout, reports)
        finally:
            end(client)
    finally:
        end(server)
    try:
        index: dict[str, dict[str, dict[str, Any]]] = json.loads((reports / "index.json").read_text())
    except (OSError, ValueError) as error:
        raise Unavailable(f"it has left no report: {error}") from None
    print(f"The report is {reports}/index.html")
    return index[agent]


def watch(client: subprocess.Popen[bytes], server: subprocess.Popen[bytes], timeout: float, reports: Path) -> None:
    """Wait for the testsuite, as long as there is a server to test."""
    until = time.monotonic() + timeout
    while client.poll() is None:
        if server.poll() is not None:
            raise Unavailable(f"the server ended with exit code {server.returncode}:\n{tail(reports / 'server.log')}")
        if time.monotonic() > until:
            raise Unavailable(f"it did not end in {timeout:.0f} s")
        time.sleep(0.1)
    if client.returncode != 0:
        raise Unavailable(f"exit code {client.returncode}:\n{tail(reports / 'wstest.log')}")


def tail(log: Path) -> str:
    """The last lines of it."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and end it if it does not."""
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# ---- the verdict -----------------------------------------------------------------------------------------------------


def case_key(case: str) -> tuple[int, ...]:
    """Sorts 2.10 behind 2.9."""
    return tuple(int(part) for part in case.split("."))


def verdict(result: dict[str, Any]) -> str:
    """One of VERDICTS. A case that was right but for the end of the connection has failed, too."""
    behavior: str = result["behavior"]
    if behavior != "UNIMPLEMENTED" and result["behaviorClose"] not in ("OK", "INFORMATIONAL"):
        return "FAILED"
    return behavior if behavior in VERDICTS else "FAILED"


def judge(results: dict[str, dict[str, Any]]) -> bool:
    """Print what was found; returns whether all of it is right."""
    groups: defaultdict[int, Counter[str]] = defaultdict(Counter)
    notes = []
    passed = bool(results)
    for case in sorted(results, key=case_key):
        found = verdict(results[case])
        groups[case_key(case)[0]][found] += 1
        if found in ("OK", "INFORMATIONAL"):
            continue
        why = EXPLAINED.get(case) if found != "FAILED" else None
        passed = passed and why is not None
        result = results[case]
        notes.append(
            f"{case:8} {found}: {result['behavior']}, close {result['behaviorClose']} with"
            f" {result['remoteCloseCode']}; {why or 'not explained'}"
        )
    print(f"\n{'group':28}" + "".join(f"{name:>15}" for name in VERDICTS))
    for group, counts in sorted(groups.items()):
        name = f"{group} {GROUPS.get(group, '')}"
        print(f"{name:28}" + "".join(f"{counts[found] or '.':>15}" for found in VERDICTS))
    total: Counter[str] = sum(groups.values(), Counter())
    print(f"{'all':28}" + "".join(f"{total[found] or '.':>15}" for found in VERDICTS))
    print("\n".join(["", *notes]) if notes else "")
    return passed


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="autobahn", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--short", action="store_true", help="leave out the cases that take long")
    parser.add_argument("--cases", action="append", help="only these, as in '6.*'; may be given more than once")
    parser.add_argument("--ws", default="native", help="implementation to test (default: %(default)s)")
    parser.add_argument("--loop", default="auto", help="event loop (default: %(default)s)")
    parser.add_argument("--server", default="addax", help="module to run instead, for example uvicorn")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for all cases (default: %(default)s)")
    parser.add_argument("--require", action="store_true", help="fail where there is no Python 2.7")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Prepare, play, judge; returns the exit code."""
    arguments = parse(argv)
    try:
        wstest = prepare()
    except Unavailable as problem:
        print(f"The Autobahn testsuite was not run: {problem}", file=sys.stderr)
        return 1 if arguments.require else 0
    began = time.monotonic()
    try:
        results = play(wstest, arguments)
    except Unavailable as problem:
        print(f"The Autobahn testsuite was not run to its end: {problem}", file=sys.stderr)
        return 2
    passed = judge(results)
    count = len(results)
    print(f"{count} cases in {time.monotonic() - began:.0f} s: " + ("passed" if passed else "NOT PASSED"))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
