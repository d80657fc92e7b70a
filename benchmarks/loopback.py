"""Servers under load on loopback: CPU time of the server for each request, requests a second, and latency.

    python benchmarks/loopback.py                                     addax and uvicorn, all cases
    python benchmarks/loopback.py --peers addax-httptools,granian --cases hello,stream --rounds 5 --seconds 5
    python benchmarks/loopback.py --write-readme                      puts the table into README.md

The server has core 0 for itself and the load (wrk) core 1. All servers are up all the time and take turns, round by
round, so that whatever else the machine does meets all of them; the table has the median of the rounds. CPU time is
utime and stime of the server's processes in /proc over the requests that were answered: unlike requests a second it
does not depend on how fast the load is. Every answer's status is checked, and there may be no error on a socket.

Needs Linux with two cores, taskset and wrk.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from cases import CASES, Case
from peers import HERE, PEERS, environment

SERVER_CORE = 0
LOAD_CORE = 1
#: What the others are compared with.
BASE = "uvicorn"
START_PATIENCE_S = 30.0
WARM_UP_S = 1
README = HERE.parent / "README.md"
BEGIN, END = "<!-- benchmark:begin -->", "<!-- benchmark:end -->"

_SCRIPT = """
local bytes = "%s"
request = function() return bytes end
done = function(summary, latency, requests)
    local errors = summary.errors
    print(string.format(
        '{"requests": %%d, "duration_us": %%d, "p50_us": %%d, "p99_us": %%d, "bad_status": %%d, "broken": %%d}',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
        errors.connect + errors.read + errors.write + errors.timeout))
end
"""


@dataclass(frozen=True)
class Measure:
    """One round of one case on one server."""

    cpu_us: float
    rate: float
    p50_ms: float
    p99_ms: float


class Running:
    """A server that was started."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = _free_port()
        command = ["taskset", "--cpu-list", str(SERVER_CORE), *PEERS[name].command(self.port)]
        self._process = subprocess.Popen(
            command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def wait(self) -> None:
        """Return when it accepts connections."""
        give_up_at = time.monotonic() + START_PATIENCE_S
        while True:
            if self._process.poll() is not None:
                sys.exit(f"{self.name} ended with {self._process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > give_up_at:
                    sys.exit(f"{self.name} does not listen")
                time.sleep(0.05)

    def cpu_s(self) -> float:
        """CPU time of its processes so far, in seconds."""
        return sum(map(_cpu_ticks, _family(self._process.pid))) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third on; the second may hold blanks and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _cpu_ticks(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[11]) + int(fields[12])


def _family(pid: int) -> Iterator[int]:
    """A process and its descendants: some servers serve from a child."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _family(int(child))


@contextmanager
def started(names: list[str]) -> Iterator[list[Running]]:
    """Start servers, stop them at the end."""
    with ExitStack() as stack:
        servers = []
        for name in names:
            server = Running(name)
            stack.callback(server.stop)
            servers.append(server)
        for server in servers:
            server.wait()
        yield servers


def load(server: Running, case: Case, seconds: int, connections: int) -> Measure:
    """Put load on a server with one case."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % "".join(f"\\{byte:03d}" for byte in case.request))
        script.flush()
        before = server.cpu_s()
        result = _run_wrk(server.port, script.name, seconds, connections)
        cpu_s = server.cpu_s() - before
    expected_bad = result["requests"] if case.status >= 400 else 0
    if result["bad_status"] != expected_bad or result["broken"] or not result["requests"]:
        sys.exit(f"{server.name} answered {case.name} wrongly: {result}")
    return Measure(
        cpu_us=cpu_s / result["requests"] * 1e6,
        rate=result["requests"] / result["duration_us"] * 1e6,
        p50_ms=result["p50_us"] / 1000,
        p99_ms=result["p99_us"] / 1000,
    )


def _run_wrk(port: int, script: str, seconds: int, connections: int) -> dict[str, int]:
    command = ["taskset", "--cpu-list", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script]
    done = subprocess.run([*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True)
    result: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return result


Results = dict[tuple[str, str], list[Measure]]


def measure(servers: list[Running], cases: list[str], rounds: int, seconds: int, connections: int) -> Results:
    """All rounds, servers taking turns."""
    results: Results = {(case, server.name): [] for case in cases for server in servers}
    for server in servers:
        load(server, CASES[cases[0]], WARM_UP_S, connections)
    for number in range(rounds):
        for case in cases:
            for server in servers:
                print(f"round {number + 1} of {rounds}: {case}, {server.name}", file=sys.stderr)
                results[case, server.name].append(load(server, CASES[case], seconds, connections))
    return results


def render(results: Results) -> str:
    """The medians as a Markdown table; the last column compares CPU time with ``BASE``, or else the first server."""
    lines = [
        "| | server | CPU µs a request | requests/s | p50 ms | p99 ms | CPU, relative |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    cases = list(dict.fromkeys(case for case, _ in results))
    for case in cases:
        of_case = {name: rounds for (at, name), rounds in results.items() if at == case}
        base = median(one.cpu_us for one in of_case.get(BASE, next(iter(of_case.values()))))
        for position, (name, rounds) in enumerate(of_case.items()):
            cpu_us = median(one.cpu_us for one in rounds)
            cells = [
                f"{case}: {CASES[case].title}" if position == 0 else "",
                PEERS[name].title,
                f"{cpu_us:.1f}",
                f"{median(one.rate for one in rounds):,.0f}",
                f"{median(one.p50_ms for one in rounds):.2f}",
                f"{median(one.p99_ms for one in rounds):.2f}",
                f"{cpu_us / base:.2f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def conditions(options: argparse.Namespace) -> str:
    """One sentence on how the numbers were made."""
    return (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} on {platform.machine()}, "
        f"one core for the server, one for wrk with {options.connections} connections; "
        f"medians of {options.rounds} rounds of {options.seconds} s, no access log, uvloop."
    )


def write_readme(text: str) -> None:
    """Put the table between the marks of README.md."""
    readme = README.read_text(encoding="utf-8")
    before, begin, rest = readme.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{README} has no marks {BEGIN} and {END}")
    README.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--peers", default="addax-httptools,addax-h11,uvicorn", help=", ".join(PEERS))
    arguments.add_argument("--cases", default="hello,browser,post,large,stream", help=", ".join(CASES))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=int, default=3, help="of one case on one server in one round")
    arguments.add_argument("--connections", type=int, default=64)
    arguments.add_argument("--markdown", type=Path, help="write the table to this file too")
    arguments.add_argument("--write-readme", action="store_true", help="put the table into README.md")
    options = arguments.parse_args()
    for tool in ("wrk", "taskset"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is not installed")
    names, cases = options.peers.split(","), options.cases.split(",")
    for unknown in [*(set(names) - set(PEERS)), *(set(cases) - set(CASES))]:
        arguments.error(f"there is no {unknown!r}")
    with started(names) as servers:
        results = measure(servers, cases, options.rounds, options.seconds, options.connections)
    text = f"{conditions(options)}\n\n{render(results)}"
    print(text)
    if options.markdown is not None:
        options.markdown.write_text(text + "\n", encoding="utf-8")
    if options.write_readme:
        write_readme(text)


if __name__ == "__main__":
    main()
