"""How the cost of a request grows: with connections, with header fields, with the size of a body."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cases import CASES, Case, get, post
from load import Measure, load, median_of
from peers import PEERS, Setup
from progress import Clock, say
from servers import ServerError, raise_descriptor_limit, started

#: The rest are measured at one point only, by ``loopback.py``.
SERVERS = ("addax", "uvicorn", "granian", "gunicorn", "fastpysgi", "floor-app")
CONNECTIONS = (1, 10, 100, 1000, 10_000)
#: One more and gunicorn refuses.
FIELDS = (1, 3, 10, 30, 100)
SIZES = (1, 2**10, 2**14, 2**17, 2**20, 10 * 2**20)
#: Descriptors that a server needs besides its connections.
SPARE_COUNT = 200
ROUNDS_COUNT = 2


@dataclass(frozen=True)
class Point:
    """One load, at one place of one series.

    Attributes:
        series: what grows.
        x: how large it is.
        case: what is sent.
        connections: how many at the same time.
        seconds: how long.
    """

    series: str
    x: int
    case: Case
    connections: int = 64
    seconds: int = 1


def points(quick: bool) -> Iterator[Point]:
    """All loads. As many connections as there are descriptors for, and no more."""
    most = raise_descriptor_limit() - SPARE_COUNT
    hello = CASES["hello"]
    for count in CONNECTIONS[:4:3] if quick else CONNECTIONS:
        if count > most:
            say(f"{count} connections need more descriptors than the {most} that ulimit -n leaves")
        # Opening ten thousand takes a while, and is not what is to be measured.
        yield Point("connections", min(count, most), hello, min(count, most), 6 if count > 1000 else 1)
    for count in FIELDS[::4] if quick else FIELDS:
        fields = ((b"X-Field-%03d" % number, b"value of the field %03d" % number) for number in range(1, count))
        yield Point("header fields", count, Case("hello", "", get(b"/hello", *fields), 200, b""))
    for size in SIZES[::5] if quick else SIZES:
        connections = 64 if size <= 2**14 else 4
        download = Case("download", "", get(b"/bytes?%d" % size), 200, b"")
        upload = Case("upload", "", post(b"/count", b"u" * size), 200, b"")
        yield Point("download bytes", size, download, connections)
        yield Point("upload bytes", size, upload, connections)


def measure(wanted: Sequence[str], quick: bool) -> list[dict[str, Any]]:
    """Measure every point on every server.

    Returns:
        One record for each point and server: ``series``, ``x`` and the medians, or ``error``.
    """
    names = [name for name in SERVERS if name in wanted]
    if not names:
        return []
    clock = Clock(60 if quick else 300)
    records = []
    with started(names, Setup()) as servers:
        for server in servers:
            load(server, CASES["hello"], 1, 64)
        for point in points(quick):
            say(f"{point.series}: {point.x}")
            rounds = 1 if quick or clock.is_over() or point.seconds > 1 else ROUNDS_COUNT
            measures: dict[str, list[Measure]] = {server.name: [] for server in servers}
            failed: dict[str, str] = {}
            for _ in range(rounds):
                for server in servers:
                    if PEERS[server.name].is_floor and point.series.endswith("bytes"):
                        continue
                    try:
                        measures[server.name].append(load(server, point.case, point.seconds, point.connections))
                    except ServerError as error:
                        failed[server.name] = str(error).partition("\n")[0]
                        server.restart()
            for name in names:
                record: dict[str, Any] = {"series": point.series, "x": point.x, "server": name}
                if name in failed:
                    records.append({**record, "error": failed[name]})
                elif measures[name]:
                    records.append({**record, **asdict(median_of(measures[name]))})
    return records
