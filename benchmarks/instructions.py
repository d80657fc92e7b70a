"""What a request or a message costs inside the server: instructions of one, counted by valgrind, without sockets.

Two runs of different length are counted after everything has warmed up; their difference, divided by the difference of
their lengths, is the cost of one request. So start, imports and warm-up are not in it, and the number is the same again
on a busy machine: that is what it is for. It says nothing about the kernel's part, see ``loopback.py``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from environment import HERE, child_environ, probe_addax
from inprocess import ALL_NAMES
from progress import say

BASE = "uvicorn-httptools"
FLOOR = "floor-app"
PURE = "-pure"
#: Everything that there can be; what there is here says ``available``.
SERVERS = (
    "addax-native",
    "addax-httptools",
    "addax-h11",
    "addax-httptools-pure",
    "addax-h11-pure",
    BASE,
    "uvicorn-h11",
    FLOOR,
)
LABELS = {
    "addax-native": "addax, native parser",
    "addax-httptools": "addax, httptools",
    "addax-h11": "addax, h11",
    "addax-httptools-pure": "addax, httptools, plain Python",
    "addax-h11-pure": "addax, h11, plain Python",
    BASE: "uvicorn, httptools",
    "uvicorn-h11": "uvicorn, h11",
    FLOOR: "floor: the app alone",
}
#: A short and a long run, twice: the timer that a server has for each second falls into some of them, by chance.
COUNTS = (20, 100, 20, 100)
#: The numbers of the dumps of the runs; the lesser of two is taken.
SHORT_RUNS, LONG_RUNS = (2, 4), (3, 5)
#: Of all cases of one server; most take less than one minute.
PATIENCE_S = 900
_SUMMARY = re.compile(r"^summary: (\d+)$", re.MULTILINE)

#: Instructions of one request, by server and case.
Costs = dict[str, dict[str, float]]


def available(variables: dict[str, str] | None = None) -> list[str]:
    """Which of the servers can be counted with what is installed.

    addax counts as compiled only if it is; without compiled modules there is the plain variant alone.
    """
    compiled, pure = probe_addax(False, **(variables or {})), probe_addax(True, **(variables or {}))
    found = [f"addax-{name}" for name in compiled["parsers"]] if compiled["compiled"] else []
    found += [f"addax-{name}{PURE}" for name in pure["parsers"]] if not pure["compiled"] else []
    return [server for server in SERVERS if server in found or not server.startswith("addax")]


def count_all(servers: Iterable[str], cases: Sequence[str], loop: str = "uvloop", **variables: str) -> Costs:
    """Count everything, as many servers at a time as there are cores; that does not change the counts."""
    pairs = [(server, list(cases)) for server in servers]
    return count_pairs(pairs, loop, **variables)


def count_pairs(pairs: Sequence[tuple[str, list[str]]], loop: str = "uvloop", **variables: str) -> Costs:
    """The same for different cases of each server."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = pool.map(lambda pair: count_server(*pair, loop, **variables), pairs)
        return {server: costs for (server, _), costs in zip(pairs, counts, strict=True)}


def count_server(server: str, cases: Sequence[str], loop: str, **variables: str) -> dict[str, float]:
    """Instructions of one request of each case."""
    with tempfile.TemporaryDirectory(prefix="addax-bench-") as directory:
        dumps = Path(directory) / "dump"
        output = run_valgrind(server, cases, loop, dumps, **variables)
        costs = {}
        for line in output.splitlines():
            case, pid = line.split()
            short, long = (
                min(_summary(Path(f"{dumps}.{pid}.{number}")) for number in numbers)
                for numbers in (SHORT_RUNS, LONG_RUNS)
            )
            costs[case] = round((long - short) / (COUNTS[1] - COUNTS[0]), 1)
    say(f"counted {server}: {', '.join(f'{case} {cost:,.0f}' for case, cost in costs.items())}")
    return costs


def run_valgrind(
    server: str,
    cases: Sequence[str],
    loop: str,
    dumps: Path,
    valgrind: tuple[str, ...] = (),
    python: tuple[str, ...] = (),
    **variables: str,
) -> str:
    """Drive a server under valgrind, which writes its counters to ``dumps.PID.1``, ``dumps.PID.2`` and so on.

    The first dump of a case's process has everything up to the warm-up, then come the runs.

    Args:
        server: one of ``SERVERS``.
        cases: names of cases.
        loop: ``uvloop`` or ``asyncio``.
        dumps: the beginning of the files' names.
        valgrind: further options of valgrind.
        python: further options of the interpreter.
        variables: of the environment.

    Returns:
        What was written to standard output: a line for each case with the number of its process.
    """
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is not installed")
    command = [
        "valgrind",
        "--quiet",
        "--tool=callgrind",
        f"--callgrind-out-file={dumps}.%p",
        "--dump-before=getppid",
        *valgrind,
        sys.executable,
        *python,
        str(HERE / "inprocess.py"),
        server.removesuffix(PURE),
        *cases,
        f"--loop={loop}",
        f"--counts={','.join(map(str, COUNTS))}",
    ]
    # Without the first the order in sets of the interpreter differs from run to run, and with it the counts.
    fixed = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    environ = child_environ(server.endswith(PURE), **fixed, **variables)
    try:
        done = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        sys.exit(f"{server}: not counted within {PATIENCE_S} s")
    if done.returncode != 0:
        sys.exit(f"{server} failed:\n{done.stderr}")
    return done.stdout


def _summary(dump: Path) -> int:
    found = _SUMMARY.search(dump.read_text())
    assert found is not None, f"no summary in {dump}"
    return int(found[1])


def measure(servers: Sequence[str] | None, quick: bool) -> Costs:
    """What ``run`` asks for."""
    wanted = [server for server in available() if servers is None or server in servers]
    cases = ["hello", "browser", "echo-20"] if quick else ALL_NAMES
    return count_all(wanted, cases)
