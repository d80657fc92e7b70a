"""A short form of ``chaos``, and what it would not let pass."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from chaos import draw
from chaos_rounds import Exemption
from load_tally import Failure

pytestmark = [pytest.mark.network, pytest.mark.slow]

PROGRAM = Path(__file__).with_name("chaos.py")

LOST = Failure(
    outcome="reset",
    client="raw keep-alive",
    request="GET /?n=1",
    connection_request_number=3,
    idle_s=0.01,
    error="ConnectionResetError",
    received_bytes=0,
    pid=7,
    connected_at=90.0,
    began_at=99.0,
    ended_at=100.5,
    local_port=1234,
)


@pytest.mark.parametrize(
    ("rounds", "options"),
    [
        (["HUP during HUP", "kill", "TTIN", "USR2"], []),
        (["HUP", "crash", "STOP, CONT"], ["--preload"]),
    ],
)
def test_nobody_notices_what_happens(rounds: list[str], options: list[str]) -> None:
    command = [sys.executable, str(PROGRAM), "--workers", "2", "--requests", "1000", "--rounds", str(len(rounds))]
    command += [word for name in rounds for word in ("--only", name)]
    # Its own bounds are narrower; this one is for a program that hangs.
    done = subprocess.run([*command, "--", *options], check=False, capture_output=True, text=True, timeout=200)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith(f"PASSED: {len(rounds)} rounds, ")


@pytest.mark.parametrize(
    ("change", "is_covered"),
    [
        ({}, True),
        ({"outcome": "cut short", "received_bytes": 20}, True),
        ({"ended_at": 99.9}, False),
        ({"ended_at": 101.1}, False),
        ({"pid": 8}, False),
        ({"pid": None}, True),
        ({"pid": None, "outcome": "cut short", "received_bytes": 20}, False),
        ({"outcome": "refused", "pid": None}, False),
        ({"outcome": "crossed"}, False),
        ({"outcome": "status"}, False),
        ({"outcome": "timeout"}, False),
    ],
)
def test_only_what_a_killed_worker_had_may_be_lost(change: dict[str, object], is_covered: bool) -> None:
    failure = replace(LOST, **change)  # type: ignore[arg-type]
    assert Exemption(pid=7, since=100.0, until=101.0).covers(failure) == is_covered


def test_every_kind_of_round_comes_before_one_comes_again() -> None:
    drawn = draw(["a", "b", "c"], 7, random.Random(1))
    assert sorted(drawn[:3]) == sorted(drawn[3:6]) == ["a", "b", "c"]
    assert drawn == draw(["a", "b", "c"], 7, random.Random(1))
