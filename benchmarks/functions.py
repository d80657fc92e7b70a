"""Where the instructions of a request go: by Python function, called ones included, and counted by valgrind.

    python benchmarks/functions.py addax-httptools hello

Needs CPython 3.12 or newer on Linux. ``-X perf`` gives each Python function a piece of machine code of its own to be
called through, which valgrind sees and which the interpreter names in a file; so the cost of a call can be told for
each function. The detour costs some hundred instructions a call: read the numbers as shares, and ``instructions.py``
for the sum.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from environment import tree_path
from inprocess import ALL_NAMES
from instructions import COUNTS, LONG_RUNS, SERVERS, run_valgrind

EVALUATOR = "_PyEval_EvalFrameDefault"


class Names:
    """Which Python function a piece of machine code belongs to.

    Args:
        path: ``perf-PID.map`` of the interpreter: start and size in hexadecimal, and a name, a line.
    """

    def __init__(self, path: Path) -> None:
        entries = [line.split(" ", 2) for line in path.read_text().splitlines()]
        self._entries = sorted((int(start, 16), int(size, 16), name) for start, size, name in entries)
        self._starts = [start for start, _, _ in self._entries]

    def find(self, function: str) -> str | None:
        """The name for a function as valgrind calls it; None if it is no Python function."""
        if not function.startswith("0x"):
            return None
        address = int(function.partition("'")[0], 16)
        start, size, name = self._entries[bisect_right(self._starts, address) - 1]
        if not start <= address < start + size:
            return None
        function_name, _, file = name.removeprefix("py::").partition(":")
        return f"{function_name} ({'/'.join(file.split('/')[-2:])})"


def read_calls(dump: Path) -> Iterator[tuple[str, str, int, int]]:
    """Caller, called function, number of calls and their cost, for each line of calls in a dump of callgrind."""
    caller = called = ""
    calls = 0
    with dump.open(errors="replace") as lines:
        for line in lines:
            if line.startswith("fn="):
                caller = line[3:].strip()
            elif line.startswith("cfn="):
                called = line[4:].strip()
            elif line.startswith("calls="):
                calls = int(line[6:].split()[0])
            elif calls:
                # The line after a line of calls has their inclusive cost.
                yield caller, called, calls, int(line.split()[1])
                calls = 0


def measure(server: str, case: str, loop: str) -> tuple[Counter[str], Counter[str]]:
    """Inclusive cost and number of calls of each Python function, in all requests of the longer run."""
    costs: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as directory:
        dump = Path(directory) / "dump"
        plain = ("--compress-strings=no", "--compress-pos=no")
        output = run_valgrind(server, [case], loop, dump, valgrind=plain, python=("-X", "perf"), **tree_path())
        pid = output.split()[1]
        perf_map = Path(f"/tmp/perf-{pid}.map")
        names = Names(perf_map)
        perf_map.unlink()
        for caller, called, count, cost in read_calls(Path(f"{dump}.{pid}.{LONG_RUNS[0]}")):
            name = names.find(caller)
            if name is not None and called.startswith(EVALUATOR):
                costs[name] += cost
                calls[name] += count
    return costs, calls


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("server", choices=SERVERS)
    arguments.add_argument("case", choices=ALL_NAMES)
    arguments.add_argument("--loop", default="uvloop", choices=["uvloop", "asyncio"])
    arguments.add_argument("--top", type=int, default=40, help="how many functions")
    options = arguments.parse_args()
    if sys.version_info < (3, 12):
        sys.exit("this needs Python 3.12 or newer")
    costs, calls = measure(options.server, options.case, options.loop)
    print(f"{'instructions':>12}  {'calls':>5}  a request: function, with what it calls")
    for name, cost in costs.most_common(options.top):
        print(f"{cost / COUNTS[1]:12,.0f}  {calls[name] / COUNTS[1]:5.1f}  {name}")


if __name__ == "__main__":
    main()
