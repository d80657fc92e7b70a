"""Servers under load over loopback: CPU time of the server for a request, requests a second, and latency.

The servers of a group are up all the time and take turns, round by round, so that whatever else the machine does meets
all of them; a result is the median of the rounds. CPU time is what the kernel has counted for the server's processes
over the requests that were answered: unlike requests a second it does not depend on how fast the load is.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cases import ALL_CASES, CASES
from load import Measure, load, median_of
from peers import FASTAPI_APP, PEERS, Setup, Tls
from progress import Clock, say
from servers import Running, ServerError, started

CONNECTIONS_COUNT = 64
WARM_UP_S = 1


@dataclass(frozen=True)
class Group:
    """Cases that are measured on servers started in the same way.

    Attributes:
        name: as the results call it.
        cases: names of cases.
        setup: how servers are started.
    """

    name: str
    cases: tuple[str, ...]
    setup: Setup

    def able(self, wanted: Sequence[str]) -> list[str]:
        """Who of the wanted takes part: floors write no log."""
        return [name for name in wanted if not self._needs() - PEERS[name].offers]

    def _needs(self) -> set[str]:
        needs = set()
        if self.setup.access_log:
            needs.add("access log")
        if self.setup.tls:
            needs.add("tls")
        return needs


def groups(quick: bool) -> list[Group]:
    """What is measured without TLS.

    Args:
        quick: little of everything.
    """
    raw = ("hello", "hello-close") if quick else ("hello", "hello-close", *(name for name in CASES if name != "hello"))
    return [
        Group("raw", raw, Setup()),
        Group("raw, access log", ("hello",) if quick else ("hello", "browser"), Setup(access_log=True)),
        Group("FastAPI", ("json",), Setup(FASTAPI_APP)),
        Group("FastAPI, access log", ("json",), Setup(FASTAPI_APP, access_log=True)),
    ]


def make_certificate(directory: Path) -> Tls | None:
    """A certificate for 127.0.0.1 that is good for a day; None where openssl is not installed."""
    if shutil.which("openssl") is None:
        return None
    tls = Tls(directory / "certificate.pem", directory / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(tls.key), "-out", str(tls.certificate)]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    return tls


def measure(wanted: Sequence[str], rounds: int, seconds: int, most_s: float, quick: bool) -> list[dict[str, Any]]:
    """Measure every group without TLS.

    Returns:
        One record for each group, case and server: the medians and the rounds they are of, or ``error``.
    """
    return _measure_groups(groups(quick), wanted, rounds, seconds, most_s)


def measure_tls(wanted: Sequence[str], rounds: int, seconds: int, most_s: float) -> list[dict[str, Any]]:
    """The same with TLS: over connections that stay, and over one for each request, that is a handshake for each."""
    with tempfile.TemporaryDirectory(prefix="addax-bench-") as directory:
        tls = make_certificate(Path(directory))
        if tls is None:
            say("openssl is not installed: TLS is left out")
            return []
        found = [Group("TLS", ("hello", "large", "hello-close"), Setup(tls=tls))]
        return _measure_groups(found, wanted, rounds, seconds, most_s)


def _measure_groups(
    found: Sequence[Group], wanted: Sequence[str], rounds: int, seconds: int, most_s: float
) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for group in found:
        names = group.able(wanted)
        # Where the time is not enough for all rounds, every group has to do with fewer.
        clock = Clock(most_s * len(group.cases) / sum(len(one.cases) for one in found))
        if names:
            records += _measure_group(group, names, rounds, seconds, clock)
    return records


def _measure_group(group: Group, names: list[str], rounds: int, seconds: int, clock: Clock) -> list[dict[str, Any]]:
    results: dict[tuple[str, str], list[Measure]] = {(case, name): [] for case in group.cases for name in names}
    failed: dict[tuple[str, str], str] = {}
    with started(names, group.setup) as servers:
        for server in servers:
            load(server, ALL_CASES[group.cases[0]], WARM_UP_S, CONNECTIONS_COUNT)
        for number in range(rounds):
            if number and clock.is_over():
                say(f"{group.name}: time is up after {number} of {rounds} rounds")
                break
            for case in group.cases:
                say(f"{group.name}, {case}: round {number + 1} of {rounds}")
                for server in servers:
                    if (case, server.name) in failed:
                        continue
                    try:
                        results[case, server.name].append(load(server, ALL_CASES[case], seconds, CONNECTIONS_COUNT))
                    except ServerError as error:
                        say(str(error))
                        failed[case, server.name] = str(error).partition("\n")[0]
                        server.restart()
        if group.setup.access_log:
            for server in servers:
                _check_log(server)
    return [
        {"group": group.name, "case": case, "server": name, **summary(measures, failed.get((case, name)))}
        for (case, name), measures in results.items()
    ]


def summary(measures: list[Measure], error: str | None) -> dict[str, Any]:
    """What the results have of the rounds: medians and rounds, or the error."""
    if error is not None:
        return {"error": error}
    rounds = [[round(value, 3) for value in asdict(one).values()] for one in measures]
    return {**asdict(median_of(measures)), "rounds": rounds}


def _check_log(server: Running) -> None:
    """A server that was measured with its log on has to have written one."""
    if server.log_line_count() < 100:
        raise ServerError(f"{server.name} has written no access log:\n{server.tail()}")
