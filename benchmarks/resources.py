"""What a server takes besides CPU time for small requests: time to start, memory of idle connections, large bodies."""

from __future__ import annotations

import select
import socket
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from cases import BLOCK, HOST, get
from inprocess import body_of
from peers import PEERS, Setup
from progress import say
from servers import Running, ServerError, started

#: Connections that make the server grow to its working size before the others are counted.
FIRST_COUNT = 200
IDLE_COUNT, QUICK_IDLE_COUNT = 2000, 500
STARTS_COUNT, QUICK_STARTS_COUNT = 10, 2
TRANSFER_BYTES, QUICK_TRANSFER_BYTES = 2**30, 2**26
#: Of one body. What has gone by then is what is reported.
TRANSFER_MAX_S = 30.0
SETTLE_S = 0.5
PATIENCE_S = 10.0


def measure_startup(wanted: Sequence[str], quick: bool) -> list[dict[str, Any]]:
    """From the start of the process to its first answer, servers taking turns.

    Returns:
        For each server the medians of ``wall_ms`` and ``cpu_ms`` (user and system, of all its processes).
    """
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in wanted}
    with tempfile.TemporaryDirectory(prefix="addax-bench-") as directory:
        # The first round of each is not counted: it finds no compiled bytecode and nothing in the page cache.
        for number in range(1 + (QUICK_STARTS_COUNT if quick else STARTS_COUNT)):
            say(f"start {number}")
            for name in wanted:
                begun = time.monotonic()
                server = Running(name, Setup(), Path(directory))
                with ExitStack() as stack:
                    stack.callback(server.stop)
                    server.wait(poll_s=0.001)
                    wall_s, cpu_s = time.monotonic() - begun, server.cpu_s()
                if number:
                    rounds[name].append((wall_s * 1000, cpu_s * 1000))
    return [
        {
            "server": name,
            "wall_ms": round(median(wall for wall, _ in of_server), 1),
            "cpu_ms": round(median(cpu for _, cpu in of_server), 1),
        }
        for name, of_server in rounds.items()
    ]


def measure_memory(wanted: Sequence[str], quick: bool) -> list[dict[str, Any]]:
    """Memory of a connection that had one request and is kept open, and of a server that has none.

    Returns:
        For each server ``bytes_each`` of a connection and ``server_mib`` before the first, or ``error``.
    """
    count = QUICK_IDLE_COUNT if quick else IDLE_COUNT
    records = []
    for name in wanted:
        if PEERS[name].is_floor:
            continue
        say(f"{count} idle connections: {name}")
        with started([name], Setup()) as (server,):
            records.append({"server": name, **_idle_memory(server, count)})
    return records


def _idle_memory(server: Running, count: int) -> dict[str, Any]:
    own = server.memory_bytes()
    with ExitStack() as stack:
        clients = [_ask_and_stay(server, stack) for _ in range(FIRST_COUNT)]
        time.sleep(SETTLE_S)
        before = server.memory_bytes()
        clients += [_ask_and_stay(server, stack) for _ in range(count)]
        time.sleep(SETTLE_S)
        after = server.memory_bytes()
        # A socket that can be read now was closed by the server.
        poll = select.poll()
        for client in clients:
            poll.register(client, select.POLLIN)
        closed_count = len(poll.poll(0))
    if closed_count:
        return {"error": f"{closed_count} of {len(clients)} idle connections were closed"}
    return {"bytes_each": round((after - before) / count), "server_mib": round(own / 2**20, 1)}


def _ask_and_stay(server: Running, stack: ExitStack) -> socket.socket:
    client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), PATIENCE_S))
    client.sendall(get(b"/hello"))
    answer = b""
    while body_of(answer) is None:
        data = client.recv(65536)
        if not data:
            raise ServerError(f"{server.name} closed a connection without an answer")
        answer += data
    return client


def measure_transfer(wanted: Sequence[str], quick: bool) -> list[dict[str, Any]]:
    """One large body up, and one down, over one connection.

    Returns:
        For each server and direction ``mib_s``, ``cpu_s_per_gib``, ``bytes`` that went, and ``is_whole``; or ``error``.
    """
    size = QUICK_TRANSFER_BYTES if quick else TRANSFER_BYTES
    records = []
    for name in wanted:
        if PEERS[name].is_floor or name == "gunicorn-fast":
            continue
        for direction, transfer in (("upload", _upload), ("download", _download)):
            say(f"{direction} of {size // 2**20} MiB: {name}")
            with started([name], Setup()) as (server,):
                cpu_before, begun = server.cpu_s(), time.monotonic()
                record: dict[str, Any] = {"server": name, "direction": direction}
                try:
                    count = transfer(server, size)
                except OSError as error:
                    record["error"] = f"{direction} failed: {error!r}"
                else:
                    wall_s, cpu_s = time.monotonic() - begun, server.cpu_s() - cpu_before
                    record |= {
                        "mib_s": round(count / 2**20 / wall_s, 1),
                        "cpu_s_per_gib": round(cpu_s / (count / 2**30), 3),
                        "bytes": count,
                        "is_whole": count == size,
                    }
                records.append(record)
    return records


def _upload(server: Running, size: int) -> int:
    """Send a body; returns how much of it went in time."""
    head = b"POST /count HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n\r\n" % (HOST, size)
    give_up_at = time.monotonic() + TRANSFER_MAX_S
    piece = memoryview(BLOCK * 16)
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as client:
        client.sendall(head)
        left = size
        while left:
            if time.monotonic() > give_up_at:
                return size - left
            left -= client.send(piece[: min(left, len(piece))])
        answer = b""
        while body_of(answer) is None:
            answer += _receive(client)
    if body_of(answer) != b"%d" % size:
        raise ConnectionError(f"answered {answer[:100]!r}")
    return size


def _download(server: Running, size: int) -> int:
    """Receive a body; returns how much of it came in time."""
    give_up_at = time.monotonic() + TRANSFER_MAX_S
    buffer = bytearray(2**20)
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as client:
        client.sendall(get(b"/bytes?%d" % size))
        head = b""
        while b"\r\n\r\n" not in head:
            head += _receive(client)
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(f"answered {head[:100]!r}")
        received = len(head.partition(b"\r\n\r\n")[2])
        # A body in chunks is longer than its content; every server here keeps the length that the application gave.
        if b"content-length" not in head.partition(b"\r\n\r\n")[0].lower():
            raise ConnectionError("answered without a length")
        while received < size and time.monotonic() < give_up_at:
            count = client.recv_into(buffer)
            if not count:
                raise ConnectionError(f"closed after {received} bytes")
            received += count
    return received


def _receive(client: socket.socket) -> bytes:
    data = client.recv(65536)
    if not data:
        raise ConnectionError("closed too early")
    return data
