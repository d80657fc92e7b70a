"""WebSocket over loopback: CPU time of the server for a message, and memory of a connection that says nothing.

As in ``loopback.py`` the servers are up all the time and take turns, and a result is the median of the rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from load import Measure
from loopback import summary
from peers import PEERS, Setup
from progress import Clock, say
from resources import FIRST_COUNT, IDLE_COUNT, QUICK_IDLE_COUNT, SETTLE_S
from servers import Running, ServerError, started
from ws_cases import EXCHANGES, QUICK
from ws_load import Crowd, NotOfferedError, load

WARM_UP_CASE = "echo-20"
#: Messages of 4 KiB on each connection before it becomes idle, where compression is measured.
IDLE_CASE, MESSAGES_COUNT = "echo-4k-deflate", 3
#: Connections that talk at the same time then.
TALKING_COUNT = 20
#: Then nobody says anything: what a server keeps only while it is in use may go.
REST_S, QUICK_REST_S = 10.0, 1.0


def able(wanted: Sequence[str]) -> list[str]:
    """Who takes part: who offers WebSocket, and variants of it. That of gunicorn is the same with both parsers."""
    return [
        name
        for name, peer in PEERS.items()
        if "websocket" in peer.offers and (name in wanted or peer.variant_of in wanted)
        if not (name == "gunicorn" and "gunicorn-fast" in wanted)
    ]


def measure(wanted: Sequence[str], rounds: int, seconds: float, most_s: float, quick: bool) -> list[dict[str, Any]]:
    """Measure every case.

    Args:
        wanted: servers.
        rounds: how many; fewer when the time is up.
        seconds: of each case, server and round.
        most_s: no round begins later.
        quick: some cases only.

    Returns:
        One record for each case and server: the medians and the rounds they are of, or ``error``, or ``absent``: what
        the server does not offer.
    """
    names, cases, clock = able(wanted), QUICK if quick else tuple(EXCHANGES), Clock(most_s)
    results: dict[tuple[str, str], list[Measure]] = {
        (case, name): [] for case in cases for name in names if not (PEERS[name].is_floor and EXCHANGES[case].deflate)
    }
    failed: dict[tuple[str, str], dict[str, str]] = {}
    with started(names, Setup()) as servers:
        for server in servers:
            _round(server, WARM_UP_CASE, seconds, [], failed)
        for number in range(rounds):
            if number and clock.is_over():
                say(f"WebSocket: time is up after {number} of {rounds} rounds")
                break
            for case in cases:
                say(f"WebSocket, {case}: round {number + 1} of {rounds}")
                for server in servers:
                    if (case, server.name) in results:
                        _round(server, case, seconds, results[case, server.name], failed)
    return [
        {"case": case, "server": name, **(failed.get((case, name)) or summary(measures, None))}
        for (case, name), measures in results.items()
    ]


def _round(
    server: Running, case: str, seconds: float, measures: list[Measure], failed: dict[tuple[str, str], dict[str, str]]
) -> None:
    if (case, server.name) in failed:
        return
    try:
        measures.append(load(server, EXCHANGES[case], seconds))
    except NotOfferedError as error:
        failed[case, server.name] = {"absent": str(error)}
    except ServerError as error:
        say(str(error))
        failed[case, server.name] = {"error": str(error).partition("\n")[0]}
        server.restart()


def measure_memory(wanted: Sequence[str], quick: bool) -> list[dict[str, Any]]:
    """Memory of an open connection that says nothing.

    Returns:
        For each server, without compression and with: ``bytes_each``, ``error``, or ``absent``. Without compression
        no message was ever sent. With compression some were, right after the handshake.
    """
    count = QUICK_IDLE_COUNT if quick else IDLE_COUNT
    rest_s = QUICK_REST_S if quick else REST_S
    records: list[dict[str, Any]] = []
    for name in able(wanted):
        for deflate in (False, True):
            if PEERS[name].is_floor:
                continue
            say(f"{count} idle WebSockets{', compressed' if deflate else ''}: {name}")
            record: dict[str, Any] = {"server": name, "deflate": deflate}
            try:
                with started([name], Setup()) as (server,):
                    record["bytes_each"] = _idle_memory(server, deflate, count, rest_s if deflate else SETTLE_S)
            except NotOfferedError as error:
                record["absent"] = str(error)
            except ServerError as error:
                say(str(error))
                record["error"] = str(error).partition("\n")[0]
            records.append(record)
    return records


def _idle_memory(server: Running, deflate: bool, count: int, rest_s: float) -> int:
    with Crowd(server, EXCHANGES[IDLE_CASE if deflate else WARM_UP_CASE]) as crowd:
        _add(crowd, FIRST_COUNT, MESSAGES_COUNT if deflate else 0)
        crowd.wait(rest_s)
        before = server.memory_bytes()
        _add(crowd, count, MESSAGES_COUNT if deflate else 0)
        # A ping of the server is answered; a connection that it has closed is a failure.
        crowd.wait(rest_s)
        return round((server.memory_bytes() - before) / count)


def _add(crowd: Crowd, count: int, messages_count: int) -> None:
    for _ in range(count // TALKING_COUNT):
        parties = crowd.add(TALKING_COUNT)
        for _ in range(messages_count):
            crowd.run(0, parties)
