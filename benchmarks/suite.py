"""All measurements, one after the other; started by ``run`` in the environment that it has made.

Results go as JSON into the environment's ``last-run.json``, section by section, so that a part can be measured again;
with ``--publish`` they go into ``results.json``, and from there into docs/benchmarks.md, its plots and the README.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import growth
import instructions
import loopback
import report
import resources
import ws_measure
from environment import HERE, describe
from peers import DEFAULT, OWN, PEERS
from progress import say
from servers import CORES, ServerError, raise_descriptor_limit

LAST_RUN = Path(sys.prefix) / "last-run.json"
PUBLISHED = HERE / "results.json"

Section = Callable[[Sequence[str], bool], Any]


def _instructions(servers: Sequence[str], quick: bool) -> Any:
    if shutil.which("valgrind") is None:
        say("valgrind is not installed: no instructions are counted")
        return {}
    kinds = tuple({name.partition("-")[0] for name in servers})
    return instructions.measure([name for name in instructions.SERVERS if name.startswith(kinds)], quick)


def _loopback(servers: Sequence[str], quick: bool) -> Any:
    return loopback.measure(servers, 1 if quick else 5, 1, 60 if quick else 780, quick)


def _tls(servers: Sequence[str], quick: bool) -> Any:
    return loopback.measure_tls(servers, 1 if quick else 5, 1, 20 if quick else 180)


def _websocket(servers: Sequence[str], quick: bool) -> Any:
    return ws_measure.measure(servers, 1 if quick else 5, 0.5, 30 if quick else 150, quick)


SECTIONS: dict[str, Section] = {
    "instructions": _instructions,
    "loopback": _loopback,
    "tls": _tls,
    "startup": resources.measure_startup,
    "memory": resources.measure_memory,
    "transfer": resources.measure_transfer,
    "growth": growth.measure,
    "websocket": _websocket,
    "websocket-memory": ws_measure.measure_memory,
}


def failures(results: dict[str, Any]) -> list[str]:
    """What went wrong with addax itself, in any section: that is the run's failure. The others are what they are."""
    found = []
    for section in SECTIONS:
        records = results.get(section, [])
        if isinstance(records, list):
            found += [
                f"{section}: {record['error']}"
                for record in records
                if "error" in record and record["server"].startswith(OWN)
            ]
    return found


def main() -> None:
    """Measure what the command line asks for."""
    arguments = argparse.ArgumentParser(prog="benchmarks/run", description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--quick", action="store_true", help="little of everything: to see that it works")
    arguments.add_argument("--only", default=",".join(SECTIONS), help=f"sections: {', '.join(SECTIONS)}")
    arguments.add_argument("--servers", default=",".join(DEFAULT), help=", ".join(PEERS))
    arguments.add_argument("--publish", action="store_true", help="write the results into the documentation")
    arguments.add_argument("--report", action="store_true", help="measure nothing; show or publish the last run")
    options = arguments.parse_args()
    names, servers = options.only.split(","), options.servers.split(",")
    for unknown in [*(set(names) - set(SECTIONS)), *(set(servers) - set(PEERS))]:
        arguments.error(f"there is no {unknown!r}")
    if not options.report:
        measure(names, servers, options.quick)
    if not LAST_RUN.exists():
        sys.exit("there is no last run: start without --report")
    results = json.loads(LAST_RUN.read_text(encoding="utf-8"))
    print(report.render(results))
    if options.publish:
        PUBLISHED.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        report.publish(results)
    wrong = failures(results)
    if wrong:
        sys.exit("addax failed:\n" + "\n".join(wrong))


def measure(names: Sequence[str], servers: Sequence[str], quick: bool) -> None:
    """Measure sections and write the last run; those of it that are not measured now stay."""
    for tool in {"wrk"} if {"loopback", "tls", "growth"} & set(names) else ():
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is not installed")
    raise_descriptor_limit()
    # This process prepares the load, and sometimes is the load: not on the server's core.
    os.sched_setaffinity(0, {CORES[-1]})
    results = {}
    if len(names) < len(SECTIONS) and LAST_RUN.exists():
        results = json.loads(LAST_RUN.read_text(encoding="utf-8"))
    results["about"] = {**describe(), "is_quick": quick, "cores_used": len(CORES)}
    for name in names:
        say(f"--- {name}")
        if name == "instructions":
            os.sched_setaffinity(0, CORES)
        try:
            results[name] = SECTIONS[name](servers, quick)
        except ServerError as error:
            sys.exit(str(error))
        finally:
            os.sched_setaffinity(0, {CORES[-1]})
        LAST_RUN.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
