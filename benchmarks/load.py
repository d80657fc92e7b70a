"""Puts load on a server with wrk, from a core of its own, and takes the server's CPU time over the answers."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from cases import Case
from servers import LOAD_CORE, Running, ServerError, on_core

#: Requests that differ are made before the clock starts, and come again after this many. No server remembers so many.
VARYING_COUNT = 20_000
#: Beyond ``seconds``, until wrk is taken for stuck.
PATIENCE_S = 60

_REPORT = """
done = function(summary, latency, requests)
    local errors = summary.errors
    print(string.format(
        '{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "bad_status": %d, "broken": %d, "bytes": %d}',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
        errors.connect + errors.read + errors.write + errors.timeout, summary.bytes))
end
"""
# wrk asks once for a request that is always the same, and sends it without calling Lua again.
_SAME = """
init = function()
    local file = io.open("{path}", "rb")
    local bytes = file:read("*a")
    file:close()
    wrk.format = function() return bytes end
end
"""
_VARYING = """
local requests, number = {{}}, 0
init = function()
    for line in io.lines("{path}") do
        requests[#requests + 1] = line:gsub("~", "\\r\\n")
    end
end
request = function()
    number = number % #requests + 1
    return requests[number]
end
"""


@dataclass(frozen=True)
class Measure:
    """One round of one case on one server.

    Attributes:
        cpu_us: CPU time of the server for a request, user and system, in microseconds.
        rate: requests answered in a second.
        p50_ms: half of the answers had come after this long.
        p99_ms: all but one in a hundred had.
    """

    cpu_us: float
    rate: float
    p50_ms: float
    p99_ms: float


def median_of(rounds: list[Measure]) -> Measure:
    """The median of each number by itself."""
    return Measure(
        *(round(median(getattr(one, name) for one in rounds), 3) for name in ("cpu_us", "rate", "p50_ms", "p99_ms"))
    )


def load(server: Running, case: Case, seconds: int, connections: int) -> Measure:
    """Put load on a server with one case.

    Args:
        server: to be asked.
        case: what to send, and the status that has to come back.
        seconds: how long.
        connections: how many at the same time.

    Raises:
        ServerError: an answer had another status, or a connection broke.
    """
    with tempfile.TemporaryDirectory(prefix="addax-bench-") as directory:
        data, script = Path(directory) / "requests", Path(directory) / "script.lua"
        if case.vary is None:
            data.write_bytes(case.request)
            script.write_text(_SAME.format(path=data) + _REPORT)
        else:
            lines = (request.replace(b"\r\n", b"~") for request in case.requests(VARYING_COUNT))
            data.write_bytes(b"\n".join(lines) + b"\n")
            script.write_text(_VARYING.format(path=data) + _REPORT)
        before = server.cpu_s()
        result = _run_wrk(server, script, seconds, connections)
        cpu_s = server.cpu_s() - before
    expected_bad = result["requests"] if case.status >= 400 else 0
    if result["bad_status"] != expected_bad or result["broken"] or not result["requests"]:
        raise ServerError(f"{server.name} answered {case.name} wrongly: {result}")
    if not server.is_answering():
        raise ServerError(f"{server.name} answers nobody any more after {result['requests']} requests of {case.name}")
    return Measure(
        cpu_us=cpu_s / result["requests"] * 1e6,
        rate=result["requests"] / result["duration_us"] * 1e6,
        p50_ms=result["p50_us"] / 1000,
        p99_ms=result["p99_us"] / 1000,
    )


def _run_wrk(server: Running, script: Path, seconds: int, connections: int) -> dict[str, int]:
    scheme = "https" if server.setup.tls else "http"
    url = f"{scheme}://127.0.0.1:{server.port}/"
    # A long answer of a slow server to very many connections is slow and not broken.
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script), url]
    try:
        with on_core(LOAD_CORE):
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=True,
                timeout=seconds + PATIENCE_S,
                stdin=subprocess.DEVNULL,
            )
    except subprocess.SubprocessError as error:
        raise ServerError(f"wrk on {server.name}: {error}") from error
    result: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return result
