"""What a request costs inside the server: instructions per request, counted by valgrind, without sockets.

    python benchmarks/instructions.py                 addax and uvicorn, all cases, on the Python that runs this
    python benchmarks/instructions.py --markdown out.md --servers uvicorn-httptools,addax-h11 --cases hello,browser

Two runs of different length are counted in one process after everything has warmed up; their difference, divided by
the difference of their lengths, is the cost of one request. So start, imports and warm-up are not in it, and the number
is the same again on a busy machine: that is what it is for. It says nothing about the kernel's part, see
``loopback.py``.

Needs valgrind, and uvicorn 0.54.0 and httptools next to addax.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from cases import CASES

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent / "src"
BASE = "uvicorn-httptools"
SERVERS = (BASE, "addax-httptools", "addax-h11", "uvicorn-h11")
UVICORN = "0.54.0"
COUNTS = (100, 300)
#: The numbers of the dumps of the two runs.
SHORT_RUN, LONG_RUN = 2, 3
_SUMMARY = re.compile(r"^summary: (\d+)$", re.MULTILINE)

#: Instructions of one request, by server and case.
Costs = dict[tuple[str, str], float]


def count_all(servers: list[str], cases: list[str], loop: str) -> Costs:
    """Count everything, as many processes at a time as there are cores; that does not change the counts."""
    pairs = [(server, case) for server in servers for case in cases]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = pool.map(lambda pair: count_instructions(*pair, loop), pairs)
        return dict(zip(pairs, counts, strict=True))


def count_instructions(server: str, case: str, loop: str) -> float:
    """Instructions of one request.

    A process for each case: CPython fits its bytecode to what it has met, so a case costs more after another one.
    """
    with tempfile.TemporaryDirectory() as directory:
        dumps = Path(directory) / "dump"
        run_valgrind(server, case, loop, dumps)
        short, long = (_summary(dumps.with_name(f"dump.{number}")) for number in (SHORT_RUN, LONG_RUN))
    print(f"counted {server}, {case}", file=sys.stderr)
    return (long - short) / (COUNTS[1] - COUNTS[0])


def run_valgrind(
    server: str,
    case: str,
    loop: str,
    dumps: Path,
    valgrind: tuple[str, ...] = (),
    python: tuple[str, ...] = (),
) -> str:
    """Drive a server under valgrind, which writes its counters to ``dumps.1``, ``dumps.2`` and so on.

    The first dump has everything up to the warm-up, then come the two runs.

    Args:
        server: one of ``SERVERS``.
        case: the name of a case.
        loop: ``uvloop`` or ``asyncio``.
        dumps: the beginning of the files' names.
        valgrind: further options of valgrind.
        python: further options of the interpreter.

    Returns:
        What was written to standard error.
    """
    command = [
        "valgrind",
        "--tool=callgrind",
        f"--callgrind-out-file={dumps}",
        "--dump-before=getppid",
        *valgrind,
        sys.executable,
        *python,
        str(HERE / "inprocess.py"),
        server,
        case,
        f"--loop={loop}",
        f"--counts={COUNTS[0]},{COUNTS[1]}",
    ]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{server} failed:\n{done.stderr}")
    return done.stderr


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(SOURCES), os.environ.get("PYTHONPATH"))))
    # Without this the order in sets and dicts of the interpreter differs from run to run, and with it the counts.
    return {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def _summary(dump: Path) -> int:
    found = _SUMMARY.search(dump.read_text())
    assert found is not None, f"no summary in {dump}"
    return int(found[1])


def render(costs: Costs, servers: list[str], cases: list[str]) -> str:
    """The results as a Markdown table; the first server is what the others are compared with."""
    base, *others = servers
    lines = [
        f"| instructions a request | {base} | {' | '.join(others)} |",
        f"| --- |{' ---: |' * len(servers)}",
    ]
    for case in cases:
        basis = costs[base, case]
        cells = [f"{costs[other, case]:,.0f} ({costs[other, case] / basis:.2f} x)" for other in others]
        lines.append(f"| {' | '.join([f'{case}: {CASES[case].title}', f'{basis:,.0f}', *cells])} |")
    return "\n".join(lines)


def _names(known: tuple[str, ...]) -> object:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return names

    return parse


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--servers", type=_names(SERVERS), default=list(SERVERS[:3]), help=", ".join(SERVERS))  # type: ignore[arg-type]
    arguments.add_argument("--cases", type=_names(tuple(CASES)), default=list(CASES), help=", ".join(CASES))  # type: ignore[arg-type]
    arguments.add_argument("--loop", default="uvloop", choices=["uvloop", "asyncio"])
    arguments.add_argument("--markdown", type=Path, help="write the table to this file too")
    options = arguments.parse_args()
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is not installed")
    if version("uvicorn") != UVICORN:
        sys.exit(f"the comparison is with uvicorn {UVICORN}; installed is {version('uvicorn')}")
    costs = count_all(options.servers, options.cases, options.loop)
    table = render(costs, options.servers, options.cases)
    title = f"{platform.python_implementation()} {platform.python_version()}, {options.loop}, uvicorn {UVICORN}"
    print(f"{title}\n\n{table}")
    if options.markdown is not None:
        options.markdown.write_text(f"{title}\n\n{table}\n")


if __name__ == "__main__":
    main()
