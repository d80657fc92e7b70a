"""Everything that can happen to a supervisor, one thing after another, under load; and nothing of it may be noticed.

    python tests/integration/chaos.py --rounds 24 --seed 7 --workers 3 --requests 20000 [-- --preload]

The rounds are drawn by the seed, so that a run can be repeated; every kind comes before one comes again. What follows
``--`` are options of addax. After each round:

- every request was answered, except those that a killed worker had accepted;
- just as many workers as wanted are there, and each answers, with the version of the application that it should have;
- nobody else is there: no zombie, nobody left behind;
- the supervisor has as many open descriptors as it had with this number of workers before.

At the end it is told to end, under load: exit code 0, every request answered that was accepted, nothing left.
The exit code of this program is 0 if all of this was so, else 1.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from chaos_rounds import HEALTH_S, Chaos
from load_generator import LoadGenerator
from processes import adopting_orphans
from supervised import Supervised

#: A worker is replaced after so many requests, and a random number more.
REQUESTS_MAX_COUNT, JITTER_COUNT = 4000, 2000
#: How many requests pass between two rounds.
_BETWEEN_COUNT = 100
#: How many failures of a round are shown.
_SHOWN_COUNT = 10
#: How many lines of the server are shown of a round that went wrong, from its beginning.
_SHOWN_LINES_COUNT = 100


def draw(names: Sequence[str], count: int, dice: random.Random) -> list[str]:
    """So many names: all of them in a random order, then again."""
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += dice.sample(names, len(names))
    return drawn[:count]


def play(chaos: Chaos, server: Supervised, load: LoadGenerator, names: Sequence[str]) -> bool:
    """Play the rounds and print a line about each; whether all went well."""
    print(f"{'':>3} {'round':18} {'s':>5} {'workers':>7} {'requests':>8} {'expected':>8} {'failed':>6}  note")
    for number, name in enumerate(names, 1):
        began_at, before, lines_count = time.monotonic(), load.total, len(server.lines)
        trouble: Exception | None = None
        note = ""
        try:
            note = chaos.rounds[name]()
            load.wait_for_more(_BETWEEN_COUNT)
        except Exception as error:
            trouble, note = error, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        expected, failed = chaos.judge()
        print(
            f"{number:3} {name:18} {time.monotonic() - began_at:5.1f} {len(chaos.workers):7} {load.total - before:8} "
            f"{expected:8} {failed:6}  {note}",
            flush=True,
        )
        if failed or trouble is not None:
            print(f"      began at {began_at:.3f}, ended at {time.monotonic():.3f}")
            for failure in chaos.unexpected[-failed:][:_SHOWN_COUNT] if failed else []:
                print(f"      {failure}")
            for line in server.lines[lines_count:][:_SHOWN_LINES_COUNT]:
                print(f"      | {line}")
        if trouble is not None:
            print(f"{trouble}\n{server.describe()}", flush=True)
            return False
    return not chaos.unexpected


def finish(chaos: Chaos, server: Supervised, load: LoadGenerator) -> list[str]:
    """End the server under load; what was wrong with that."""
    wrong = []
    load.expect_end()
    server.send_signal(signal.SIGTERM)
    code = server.wait_for_supervisor()
    if code != 0:
        wrong.append(f"exit code {code}")
    result = load.wait()
    _, failed = chaos.judge()
    wrong += [f"at the end: {failure}" for failure in chaos.unexpected[-failed:]] if failed else []
    try:
        server.ensure_nothing_left()
    except AssertionError as error:
        wrong.append(str(error))
    if result.failed_count != len(chaos.expected) + len(chaos.unexpected):
        wrong.append(f"{result.failed_count} failures, but {len(chaos.expected)} + {len(chaos.unexpected)} were judged")
    print(result.summary() if wrong else result.summary().partition("\nprocesses")[0])
    return wrong


def main(arguments: Sequence[str]) -> int:
    """Play; returns the exit code."""
    options = _parse(arguments)
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name, adopting_orphans():
        folder = Path(name)
        pid_file = folder / "addax.pid"
        args = [
            "--pid-file", str(pid_file),
            "--timeout-worker-healthcheck", str(HEALTH_S),
            "--timeout-graceful-shutdown", "10",
            "--limit-max-requests", str(REQUESTS_MAX_COUNT),
            "--limit-max-requests-jitter", str(JITTER_COUNT),
            *options.server_options,
        ]  # fmt: skip
        print(f"seed {options.seed}, {options.workers} workers, options {' '.join(args[2:])}")
        app_folder = folder / "app"
        app_folder.mkdir()
        with Supervised(app_folder, *args, workers=options.workers) as server:
            server.wait_for("Addax running on")
            with LoadGenerator(server.address, is_process=True, seed=options.seed, time_max_s=3600.0) as load:
                has_fork_server = "--preload" in options.server_options
                chaos = Chaos(server, load, options.workers, pid_file, dice, has_fork_server)
                names = draw(options.only or list(chaos.rounds), options.rounds, dice)
                unknown = set(names) - chaos.rounds.keys()
                if unknown:
                    print(f"no such rounds: {sorted(unknown)}; there are {', '.join(chaos.rounds)}")
                    return 1
                load.wait_for_count(_BETWEEN_COUNT)
                chaos.settle()
                if not play(chaos, server, load, names):
                    print(f"FAILED: {len(chaos.unexpected)} requests failed")
                    return 1
                load.wait_for_count(options.requests, patience_s=600.0)
                wrong = finish(chaos, server, load)
    for text in wrong:
        print(text)
    verdict = "FAILED" if wrong else "PASSED"
    print(
        f"{verdict}: {len(names)} rounds, {load.result.total} requests, {len(chaos.unexpected)} failed, "
        f"{len(chaos.expected)} lost with killed workers"
    )
    return 1 if wrong else 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--requests", type=int, default=20_000, help="how many there are at least")
    parser.add_argument("--only", action="append", metavar="ROUND", help="a kind of round; can be given several times")
    parser.add_argument("server_options", nargs="*", help="options of addax, behind --")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
