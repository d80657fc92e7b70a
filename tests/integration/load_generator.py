"""A load on a server while a test does something to it: real clients that send requests, check answers and count.

    with LoadGenerator(server.address) as load:
        load.wait_for_count(200)
        server.send_signal(signal.SIGHUP)
        server.wait_for("Restart complete")
        load.wait_for_more(200)
    assert not load.result.failures, load.result.summary()

The clients run in an event loop of their own, in a thread, or (``is_process=True``) in a process, so that the test may
wait for something else meanwhile. What counts as a failure stands in ``load_tally``. The rate has a bound: each
client sends a request after a pause of 0 to ``pause_max_s`` after the last answer, so 28 clients send about 700 a
second at the most, with what they ask by default. The number of requests and the time have bounds too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from load_clients import make_clients, run_all
from load_tally import Failure, Tally

#: How many clients of which kind there are, unless a test says something else.
CLIENTS: Mapping[str, int] = {"raw keep-alive": 12, "raw single": 6, "aiohttp": 5, "httpx": 4, "http.client": 1}
#: Outcomes that are no failures.
GOOD = ("answered", "unaccepted")
#: How often a process of clients tells how far it has come, in seconds.
_TELL_S = 0.02
#: Longest wait for clients that have been told to stop, beyond the bound of a request, in seconds.
_JOIN_S = 15.0
#: How many failures are written out in a summary.
_SHOWN_COUNT = 20


@dataclass
class LoadResult:
    """What became of the requests.

    Attributes:
        outcomes: how many requests had which outcome, as in the table of ``load_tally``.
        by_client: how many requests each kind of client has sent.
        pids: how many answers each process has given.
        failures: requests that failed, in order; the first 5000.
        longest_s: the longest time until an answer.
        took_s: from the start to the end.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    by_client: Counter[str] = field(default_factory=Counter)
    pids: Counter[int] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    longest_s: float = 0.0
    took_s: float = 0.0

    @property
    def total(self) -> int:
        """All requests."""
        return self.outcomes.total()

    @property
    def failed_count(self) -> int:
        """Requests that failed; also those that are not in ``failures`` any more."""
        return sum(count for outcome, count in self.outcomes.items() if outcome not in GOOD)

    def summary(self) -> str:
        """All of it, for people."""
        lines = [
            f"{self.total} requests in {self.took_s:.1f} s, {self.failed_count} failed, "
            f"longest {self.longest_s:.2f} s, {len(self.pids)} processes",
            "outcomes: " + _listed(self.outcomes),
            "clients: " + _listed(self.by_client),
            "processes: " + _listed(self.pids),
            *(f"  {failure}" for failure in self.failures[:_SHOWN_COUNT]),
        ]
        if self.failed_count > _SHOWN_COUNT:
            lines.append(f"  and {self.failed_count - _SHOWN_COUNT} more")
        return "\n".join(lines)


def _listed(counts: Counter[Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common()) or "none"


@dataclass(frozen=True)
class Plan:
    """What the clients are to do; as the arguments of ``LoadGenerator``."""

    address: tuple[str, int]
    clients: Mapping[str, int]
    pause_max_s: float
    timeout_s: float
    count_max: int
    time_max_s: float
    seed: int
    cafile: str | None = None


class Engine:
    """The clients in an event loop.

    Args:
        plan: what to do.
        on_change: called in the loop after each request.
    """

    def __init__(self, plan: Plan, on_change: Callable[[], None] = lambda: None) -> None:
        self.tally = Tally(plan.count_max, time.monotonic() + plan.time_max_s, on_change)
        self._plan = plan
        self._began_at = time.monotonic()

    async def run(self) -> None:
        """Send requests until it is enough."""
        plan = self._plan
        address = (plan.address[0], plan.address[1])
        dice = random.Random(plan.seed)
        tls = None if plan.cafile is None else ssl.create_default_context(cafile=plan.cafile)
        await run_all(
            make_clients(dict(plan.clients), address, self.tally, dice, plan.pause_max_s, plan.timeout_s, tls)
        )

    def result(self) -> LoadResult:
        """What became of them so far."""
        tally = self.tally
        return LoadResult(
            outcomes=Counter(tally.outcomes),
            by_client=Counter(tally.by_client),
            pids=Counter(tally.pids),
            failures=list(tally.failures),
            longest_s=tally.longest_s,
            took_s=time.monotonic() - self._began_at,
        )


async def _abort_transports(loop: asyncio.AbstractEventLoop) -> None:
    """End what a library has only begun to end: over TLS it would wait for the server's close_notify, in a loop that is
    closed by then, and the collector would complain of it in another test.
    """
    for transport in list(getattr(loop, "_transports", {}).values()):
        transport.abort()
    # Each closes its socket in the next turn.
    for _ in range(3):
        await asyncio.sleep(0)


class _ThreadRunner:
    """Clients in a thread of this process."""

    def __init__(self, plan: Plan, on_progress: Callable[[int, list[Failure]], None]) -> None:
        self._on_progress = on_progress
        self._told_count = 0
        self._engine = Engine(plan, self._changed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_running = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()
        self._is_running.wait()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._error = error
        finally:
            self._is_running.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_running.set()
        try:
            await self._engine.run()
        finally:
            await _abort_transports(self._loop)

    def _changed(self) -> None:
        failures = self._engine.tally.failures
        news, self._told_count = failures[self._told_count :], len(failures)
        self._on_progress(self._engine.tally.total, news)

    def expect_end(self) -> None:
        self._engine.tally.ending_at = time.monotonic()

    def stop(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._engine.tally.stopping.set)

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def join(self, timeout_s: float) -> LoadResult:
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "the clients do not stop"
        if self._error is not None:
            raise self._error
        return self._engine.result()


class _ProcessRunner:
    """Clients in a process of their own, which is told and tells in lines of JSON."""

    def __init__(
        self, plan: Plan, on_progress: Callable[[int, list[Failure]], None], prefix: tuple[str, ...] = ()
    ) -> None:
        self._on_progress = on_progress
        self._result: LoadResult | None = None
        self._has_heard = threading.Event()
        self._process = subprocess.Popen(
            [*prefix, sys.executable, __file__, json.dumps(asdict(plan))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name="load", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if "result" in message:
                self._result = _result_of(message["result"])
            elif "heard" in message:
                self._has_heard.set()
            else:
                self._on_progress(message["total"], [Failure(**fields) for fields in message["failures"]])
        self._has_heard.set()

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(word + "\n")
            self._process.stdin.flush()

    def expect_end(self) -> None:
        self._say("end")
        self._has_heard.wait()

    def stop(self) -> None:
        self._say("stop")

    def is_running(self) -> bool:
        return self._process.poll() is None

    def join(self, timeout_s: float) -> LoadResult:
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError("the clients do not stop") from None
        finally:
            self._reader.join(timeout_s)
            for stream in (self._process.stdin, self._process.stdout):
                assert stream is not None
                with contextlib.suppress(OSError):
                    stream.close()
        assert self._result is not None, f"the process of the clients has ended with {code}"
        return self._result


def _result_of(fields: dict[str, Any]) -> LoadResult:
    return LoadResult(
        outcomes=Counter(fields["outcomes"]),
        by_client=Counter(fields["by_client"]),
        pids=Counter({int(pid): count for pid, count in fields["pids"].items()}),
        failures=[Failure(**failure) for failure in fields["failures"]],
        longest_s=fields["longest_s"],
        took_s=fields["took_s"],
    )


class LoadGenerator:
    """Starts the clients at once; ends them with the ``with`` block, at ``stop``, or by its bounds.

    Args:
        address: host and port of the server.
        clients: how many of each kind.
        pause_max_s: longest pause of a client between an answer and its next request, in seconds. Not so long that a
            server has a reason to close the connection.
        timeout_s: after which an answer is missing, in seconds.
        count_max: so many requests, and no more.
        time_max_s: so many seconds, and no longer.
        seed: of what is asked in which order.
        cafile: certificates of the authorities that are trusted, by clients that speak TLS; None: they do not.
        is_process: whether the clients are a process of their own; it takes half a second to start.
        prefix: of the command line of that process, which has to become it.
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        clients: Mapping[str, int] = CLIENTS,
        pause_max_s: float = 0.05,
        timeout_s: float = 15.0,
        count_max: int = 200_000,
        time_max_s: float = 600.0,
        seed: int = 1,
        cafile: str | None = None,
        is_process: bool = False,
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.total = 0
        #: What has failed so far.
        self.failures: list[Failure] = []
        self._news = threading.Condition()
        self._result: LoadResult | None = None
        self._timeout_s = timeout_s
        plan = Plan(address, dict(clients), pause_max_s, timeout_s, count_max, time_max_s, seed, cafile)
        self._runner: _ProcessRunner | _ThreadRunner
        if is_process:
            self._runner = _ProcessRunner(plan, self._progressed, prefix)
        else:
            self._runner = _ThreadRunner(plan, self._progressed)

    def __enter__(self) -> LoadGenerator:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _progressed(self, total: int, failures: list[Failure]) -> None:
        with self._news:
            self.total = total
            self.failures += failures
            self._news.notify_all()

    def wait_for_count(self, count: int, patience_s: float = 60.0) -> None:
        """Wait until so many requests have been answered, or have failed.

        Raises:
            AssertionError: that takes too long, or the clients have ended before.
        """
        end_at = time.monotonic() + patience_s
        with self._news:
            while self.total < count:
                # Woken by each request; the bound is for clients that send none any more.
                self._news.wait(0.1)
                is_late = time.monotonic() >= end_at or (not self._runner.is_running() and self.total < count)
                assert not is_late, f"{self.total} requests instead of {count}"

    def wait_for_more(self, count: int, patience_s: float = 60.0) -> None:
        """As ``wait_for_count``, of requests from now on."""
        self.wait_for_count(self.total + count, patience_s)

    def expect_end(self) -> None:
        """Say that the server is about to end: from now on, a client that is refused a new connection gives up."""
        self._runner.expect_end()

    def wait(self) -> LoadResult:
        """Wait for the clients to give up: after ``expect_end``, or because of their bounds."""
        if self._result is None:
            self._result = self._runner.join(self._timeout_s + _JOIN_S)
        return self._result

    def stop(self) -> LoadResult:
        """Begin no request any more, and wait for the answers to those in progress."""
        if self._result is None:
            self._runner.stop()
        return self.wait()

    @property
    def result(self) -> LoadResult:
        """What became of all requests, after the end."""
        assert self._result is not None, "the clients still run"
        return self._result


# ---- the process of its own


async def _serve_as_process(plan: Plan) -> None:
    engine = Engine(plan)
    told_total = told_failures = 0

    def tell(**message: Any) -> None:
        print(json.dumps(message), flush=True)

    def tell_news() -> None:
        nonlocal told_total, told_failures
        if engine.tally.total > told_total:
            failures = [asdict(failure) for failure in engine.tally.failures[told_failures:]]
            told_total, told_failures = engine.tally.total, told_failures + len(failures)
            tell(total=told_total, failures=failures)

    loop = asyncio.get_running_loop()

    def hear() -> None:
        words = os.read(sys.stdin.fileno(), 1024).split()
        if b"end" in words:
            engine.tally.ending_at = time.monotonic()
            tell(heard="end")
        if b"stop" in words or not words:
            # Without words nobody is there any more.
            engine.tally.stopping.set()
            loop.remove_reader(sys.stdin.fileno())

    async def tell_regularly() -> None:
        while True:
            await asyncio.sleep(_TELL_S)
            tell_news()

    loop.add_reader(sys.stdin.fileno(), hear)
    telling = asyncio.ensure_future(tell_regularly())
    await engine.run()
    telling.cancel()
    tell_news()
    result = engine.result()
    tell(result={**vars(result), "failures": [asdict(failure) for failure in result.failures]})


if __name__ == "__main__":
    asyncio.run(_serve_as_process(Plan(**json.loads(sys.argv[1]))))
