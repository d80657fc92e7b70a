"""A mixed soak: many clients, good and bad, for a long time; then nothing of them may be left in the server.

    python benchmarks/soak.py                        ten minutes
    python benchmarks/soak.py --seconds 60 --http h11 --loop asyncio

Serves ``soak_app`` by ``python -m addax`` with short timeouts and runs the scenarios of ``soak_clients`` all the time.
It fails if any answer was wrong, and, some seconds after the last client has left, if the server's log has an error, if
an asyncio task, a connection or a file descriptor is left, or if memory has grown since the warm-up. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from environment import child_environ, tree_path
from soak_clients import BODY_S, HEAD_S, KEEP_ALIVE_S, PATIENCE_S, WRITE_S, Clients, read_answer

#: The share of the time after which memory is expected not to grow any more.
WARM_UP_SHARE = 0.25
#: How much the settled memory may differ: fragments of the allocator, not one of the many thousand requests each.
GROWTH_MAX_BYTES = 6_000_000
SETTLE_S = 30.0
SAMPLES_COUNT = 40
#: How often a scenario is taken; the others once. Those that wait for a timeout are many at the same time anyway.
WEIGHTS = {"keep-alive": 6, "pipelining": 4, "abrupt disconnect": 6, "garbage": 6, "stream": 2, "upload": 2}
_MEMORY = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)


class Server:
    """The server's process."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self._log = log
        command = [sys.executable, "-m", "addax", "soak_app:app", "--port", "0"]
        for name, seconds in (("keep-alive", KEEP_ALIVE_S), ("head", HEAD_S), ("body", BODY_S), ("write", WRITE_S)):
            command += [f"--timeout-{name}", str(seconds)]
        # The access log is written, as in real life, but nobody reads it.
        self.process = subprocess.Popen(
            [*command, *arguments],
            env=child_environ(**tree_path()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log.open("wb"),
        )
        self.port = self._wait_for_port()

    def _wait_for_port(self) -> int:
        give_up_at = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up_at and self.process.poll() is None:
            found = re.search(r"running on http://127\.0\.0\.1:(\d+) ", self.log())
            if found is not None:
                return int(found[1])
            time.sleep(0.05)
        sys.exit(f"the server did not start:\n{self.log()}")

    def log(self) -> str:
        """What it has written to standard error."""
        return self._log.read_text(errors="replace")

    def memory_bytes(self) -> int:
        """Resident memory."""
        found = _MEMORY.search(Path(f"/proc/{self.process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024

    def descriptor_count(self) -> int:
        """Open files and sockets."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@dataclass
class Record:
    """What happened."""

    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    #: Seconds since the start, resident bytes, descriptors.
    samples: list[tuple[float, int, int]] = field(default_factory=list)


async def stats(port: int) -> dict[str, int]:
    """What the application says about its server; the connection that asks is counted too."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /stats HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(read_answer(reader), PATIENCE_S)
    writer.close()
    numbers: dict[str, int] = json.loads(answer.body)
    return numbers


async def client(port: int, seed: int, until: float, record: Record) -> None:
    """Run one scenario after the other."""
    rng = random.Random(seed)
    clients = Clients(port, rng)
    names = list(clients.scenarios)
    weights = [WEIGHTS.get(name, 1) for name in names]
    while time.monotonic() < until:
        (name,) = rng.choices(names, weights)
        try:
            await asyncio.wait_for(clients.scenarios[name](), 2 * PATIENCE_S)
        except (AssertionError, OSError, EOFError, asyncio.TimeoutError, ValueError) as error:
            record.failures.append(f"{name} of client {seed}: {type(error).__name__}: {error}"[:500])
        record.done[name] += 1


async def take_samples(server: Server, begin: float, seconds: float, record: Record) -> None:
    """Look at the process at regular times."""
    for number in range(1, SAMPLES_COUNT + 1):
        await asyncio.sleep(max(0.0, begin + seconds * number / SAMPLES_COUNT - time.monotonic()))
        passed = time.monotonic() - begin
        record.samples.append((passed, server.memory_bytes(), server.descriptor_count()))
        if number % 4 == 0:
            _, memory, descriptors = record.samples[-1]
            print(
                f"{passed:6.0f} s  {memory / 1e6:7.1f} MB  {descriptors:4d} descriptors  "
                f"{record.done.total():8d} scenarios  {len(record.failures)} failures",
                flush=True,
            )


async def settled(server: Server, before: dict[str, int], descriptors: int) -> tuple[dict[str, int], int]:
    """Wait until nothing of the clients is left, or for ``SETTLE_S``."""
    give_up_at = time.monotonic() + SETTLE_S
    while True:
        await asyncio.sleep(1)
        after, now = await stats(server.port), server.descriptor_count()
        is_quiet = all(after[name] <= before[name] for name in LEAKS) and now <= descriptors
        if is_quiet or time.monotonic() > give_up_at:
            return after, now


LEAKS = ("asyncio_tasks", "connections", "application_tasks", "active_requests")


async def soak(server: Server, options: argparse.Namespace) -> list[str]:
    """Run it all.

    Returns:
        What was wrong.
    """
    await stats(server.port)
    before, descriptors = await stats(server.port), server.descriptor_count()
    record = Record()
    begin = time.monotonic()
    sampler = asyncio.create_task(take_samples(server, begin, options.seconds, record))
    seeds = range(options.seed, options.seed + options.clients)
    await asyncio.gather(*[client(server.port, seed, begin + options.seconds, record) for seed in seeds])
    await sampler
    after, descriptors_after = await settled(server, before, descriptors)
    return report(server, record, (before, descriptors), (after, descriptors_after))


def report(
    server: Server, record: Record, before: tuple[dict[str, int], int], after: tuple[dict[str, int], int]
) -> list[str]:
    """Print the summary; return what was wrong."""
    faults = [f"wrong answer: {failure}" for failure in record.failures]
    print("\nscenarios: " + ", ".join(f"{name} {count}" for name, count in sorted(record.done.items())))
    print(
        f"{record.done.total()} scenarios, {after[0]['total_requests']} requests, {len(record.failures)} wrong answers"
    )
    for name in LEAKS:
        print(f"{name}: {before[0][name]} before, {after[0][name]} after")
        if after[0][name] > before[0][name]:
            faults.append(f"leaked {name}")
    print(f"descriptors: {before[1]} before, {after[1]} after")
    if after[1] > before[1]:
        faults.append("leaked descriptors")
    warm = [memory for passed, memory, _ in record.samples if passed >= WARM_UP_SHARE * record.samples[-1][0]]
    third = max(1, len(warm) // 3)
    early, late = median(warm[:third]), median(warm[-third:])
    print(f"memory: {early / 1e6:.1f} MB after the warm-up, {late / 1e6:.1f} MB at the end (medians under load)")
    print(f"memory after settling: {server.memory_bytes() / 1e6:.1f} MB; objects: {after[0]['objects']}")
    if late - early > GROWTH_MAX_BYTES:
        faults.append(f"memory has grown by {(late - early) / 1e6:.1f} MB")
    return faults


def check_log(log: str) -> list[str]:
    """Errors in the server's log; what clients do wrong is no error of the server."""
    lines = [line for line in log.splitlines() if re.search(r"ERROR|CRITICAL|Traceback|Warning", line)]
    print(f"log: {len(log.splitlines())} lines, {len(lines)} of them errors")
    return [f"log: {line}" for line in lines]


def main() -> None:
    """Soak and say how it went."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--seconds", type=float, default=600)
    arguments.add_argument("--clients", type=int, default=48, help="at the same time")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--http", default="auto", help="as addax has it")
    arguments.add_argument("--loop", default="auto", help="as addax has it")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = Server(["--http", options.http, "--loop", options.loop], Path(directory) / "log")
        try:
            faults = asyncio.run(soak(server, options))
        finally:
            code = server.stop()
        print(f"exit code after SIGTERM: {code}")
        faults += check_log(server.log())
        if code != -signal.SIGTERM:
            faults.append(f"exit code {code}")
    for fault in faults[:20]:
        print(f"FAULT {fault}")
    print(f"{len(faults)} faults" if faults else "no fault")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
