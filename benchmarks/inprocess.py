"""Drives one server's protocol in process, without a socket. Started by ``instructions.py`` under valgrind.

    python inprocess.py SERVER CASE [CASE ...] [--loop asyncio] [--counts 20,100]

For each case a child is forked, when everything has been imported and nothing was run: CPython fits its bytecode to
what it has met, so a case costs more after another one. In the child, first some requests whose answers are parsed and
compared with what they have to be; then requests whose answers are only counted, first to warm up, then ``--counts`` of
them with a mark before, between and after them. The child's case and number are printed.

A case may also be an exchange over WebSocket: then the connection is opened first, and messages take the place of
requests. And there is one with a connection for each request: what a server does for a connection, from the moment the
loop has made a transport to the one after it has gone. The loop's own part, about as much again, is not in it.

The event loop runs as for a real server: each request is an event of the loop of its own, and the next comes in a
later one, after the transport was given the last byte of the answer. Tasks, timers and futures that a server makes are
paid for.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any

from cases import CASES, HELLO_CLOSE, Case, app
from ws_cases import EXCHANGES, Exchange, handshake, read_frame

#: Exchanges that are counted too.
MESSAGE_CASES = ("echo-20",)
#: Cases in which each request has a connection of its own.
CONNECTION_CASES = {HELLO_CLOSE.name: HELLO_CLOSE}
ALL_NAMES = (*CASES, *CONNECTION_CASES, *MESSAGE_CASES)
CHECKED_COUNT = 20
WARM_UP_COUNT = 100
#: Of all servers. No connection may time out while it is counted, however slow the machine is.
OPTIONS: dict[str, Any] = {
    "access_log": False,
    "lifespan": "off",
    "log_level": "info",
    "timeout_keep_alive": 3600,
    "ws_ping_interval": 3600,
}
PEER = ("127.0.0.1", 50000)
OWN = ("127.0.0.1", 8000)


class Transport:
    """Keeps what was written until it is a whole answer, then says so.

    Not an ``asyncio.Transport``: attributes of its subclasses are slow in CPython, and that would be counted.
    """

    __slots__ = ("_on_answer", "_written", "answer")

    def __init__(self, on_answer: Callable[[], None]) -> None:
        self._on_answer = on_answer
        self._written = b""
        self.answer = b""

    def write(self, data: Any) -> None:
        self._written += data
        if body_of(self._written) is not None:
            self.answer, self._written = self._written, b""
            self._on_answer()

    def writelines(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": PEER, "sockname": OWN}.get(name, default)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        raise AssertionError("the server closed the connection")

    abort = close

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class CountingTransport(Transport):
    """Only counts: the least that a transport can do, so that next to nothing of it is in the result.

    Args:
        on_answer: called when as many bytes have come as an answer has.
        answer_size: how many those are.
    """

    __slots__ = ("_answer_size", "_left")

    def __init__(self, on_answer: Callable[[], None], answer_size: int) -> None:
        super().__init__(on_answer)
        self._answer_size = self._left = answer_size

    def write(self, data: Any) -> None:
        self._left -= len(data)
        if self._left <= 0:
            assert self._left == 0, "an answer is longer than those before it"
            self._left = self._answer_size
            self._on_answer()


class ClosingTransport(Transport):
    """Keeps or counts the one answer of a connection that the server closes after it.

    Args:
        on_close: called when the server has closed it.
        answer_size: how many bytes have to have come by then, to count them only; 0: they are kept.
    """

    __slots__ = ("_is_closing", "_left")

    def __init__(self, on_close: Callable[[], None], answer_size: int) -> None:
        super().__init__(on_close)
        self._is_closing = False
        self._left = answer_size

    def write(self, data: Any) -> None:
        if self._left:
            self._left -= len(data)
        else:
            self.answer += data

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            assert self._left == 0, "an answer is shorter than those before it"
            self._is_closing = True
            self._on_answer()

    abort = close


class MessageTransport(Transport):
    """Lets a server go on with another protocol; keeps what was written until it is a handshake or a frame, or counts.

    Args:
        on_answer: called when that was written.
        on_switch: called with the protocol that takes over.
    """

    __slots__ = ("_answer_size", "_left", "_on_switch")

    def __init__(self, on_answer: Callable[[], None], on_switch: Callable[[Any], None]) -> None:
        super().__init__(on_answer)
        self._on_switch = on_switch
        self._answer_size = self._left = 0

    def count(self, answer_size: int) -> None:
        """From now on only count bytes, see ``CountingTransport``."""
        self._answer_size = self._left = answer_size

    def write(self, data: Any) -> None:
        if self._answer_size:
            self._left -= len(data)
            if self._left <= 0:
                assert self._left == 0, "an answer is longer than those before it"
                self._left = self._answer_size
                self._on_answer()
            return
        self._written += data
        is_head = self._written.startswith(b"HTTP")
        if b"\r\n\r\n" in self._written if is_head else read_frame(self._written) is not None:
            self.answer, self._written = self._written, b""
            self._on_answer()

    def set_protocol(self, protocol: Any) -> None:
        self._on_switch(protocol)


def split_answer(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Status, head and the rest of an answer, or None if its head is not complete."""
    head, end, rest = data.partition(b"\r\n\r\n")
    return (int(head[9:12]), head.lower(), rest) if end else None


def decode_chunks(data: bytes) -> bytes | None:
    """The content of a chunked body, or None if its end has not come."""
    content = b""
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end or len(data) < int(line, 16) + 2:
            return None
        size = int(line, 16)
        content, data = content + data[:size], data[size + 2 :]
        if size == 0:
            return content


def body_of(data: bytes) -> bytes | None:
    """The body of an answer, or None if it is not complete."""
    parts = split_answer(data)
    if parts is None:
        return None
    _status, head, rest = parts
    if b"transfer-encoding: chunked" in head:
        return decode_chunks(rest)
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return rest if len(rest) >= length else None


class Driver:
    """One connection that gets one request after the other.

    Args:
        loop: does not run yet.
        make_protocol: makes the server's side.
        answer_size: bytes of an answer, to count them only; 0: answers are parsed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, make_protocol: Callable[[], Any], answer_size: int = 0) -> None:
        self._loop = loop
        self._make_protocol = make_protocol
        self._answer_size = answer_size
        self._requests: Iterator[bytes] = iter(())
        self._left = 0
        self._done: asyncio.Future[None] = loop.create_future()
        self._connect()

    def _connect(self) -> None:
        self.transport = self._make_transport(self._answer_size)
        protocol = self._make_protocol()
        protocol.connection_made(self.transport)
        self._receive = protocol.data_received
        self._lose = protocol.connection_lost

    def _make_transport(self, answer_size: int) -> Transport:
        return CountingTransport(self._answered, answer_size) if answer_size else Transport(self._answered)

    def run(self, requests: Sequence[bytes]) -> None:
        """Send requests; return when all of them were answered."""
        self._requests = iter(requests)
        self._left = len(requests)
        self._done = self._loop.create_future()
        self._loop.call_soon(self._next)
        self._loop.run_until_complete(self._done)

    def _next(self) -> None:
        if self._left:
            self._left -= 1
            self._receive(next(self._requests))
        else:
            self._done.set_result(None)

    def _answered(self) -> None:
        self._loop.call_soon(self._next)


class ConnectionDriver(Driver):
    """A connection for each request."""

    def _make_transport(self, answer_size: int) -> Transport:
        return ClosingTransport(self._closed, answer_size)

    def _closed(self) -> None:
        self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._lose(None)
        self._next()

    def _next(self) -> None:
        # Not sooner: the answer is read from the transport that it came on.
        if self._left and self.transport.is_closing():
            self._connect()
        super()._next()


class MessageDriver(Driver):
    """One WebSocket that gets one message after the other; it is open after the first request, the handshake."""

    transport: MessageTransport

    def _make_transport(self, answer_size: int) -> Transport:
        return MessageTransport(self._answered, self._switch)

    def _switch(self, protocol: Any) -> None:
        self._receive = protocol.data_received
        self._lose = protocol.connection_lost

    def lose(self) -> None:
        """End the connection, and wait until the application has ended."""
        self._lose(ConnectionResetError())
        tasks = asyncio.all_tasks(self._loop)
        if tasks:
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=10))


def check_exchange(driver: MessageDriver, exchange: Exchange) -> int:
    """Open a WebSocket and compare answers with what they have to be.

    Returns:
        The size of an answer, in bytes.
    """
    driver.run([handshake(exchange.path, deflate=False)])
    assert driver.transport.answer.startswith(b"HTTP/1.1 101 "), driver.transport.answer
    for number, request in enumerate(exchange.requests(None)[:CHECKED_COUNT]):
        driver.run([request])
        # A floor knows one answer.
        assert driver.transport.answer in (exchange.answers[number], exchange.answers[0]), driver.transport.answer
    return len(exchange.answers[0])


def check(driver: Driver, case: Case) -> int:
    """Compare answers with what they have to be.

    Returns:
        The size of an answer, in bytes.
    """
    sizes = set()
    for request in case.requests(CHECKED_COUNT):
        driver.run([request])
        answer = driver.transport.answer
        parts = split_answer(answer)
        assert parts is not None
        assert parts[0] == case.status, answer
        assert body_of(answer) == case.body, answer
        sizes.add(len(answer))
    assert len(sizes) == 1, sizes
    return sizes.pop()


def make_addax(parser: str, loop: asyncio.AbstractEventLoop) -> Callable[[], Any]:
    """What makes a protocol of addax, wired as its server does it."""
    from addax.asgi.state import ServerState
    from addax.config import Config
    from addax.server.build import Assembly

    config = Config(app, http=parser, **OPTIONS)
    config.load()
    return Assembly(config.settings(), config.loaded_app, ServerState(), {}, loop).make_protocol


def make_uvicorn(parser: str, loop: asyncio.AbstractEventLoop) -> Callable[[], Any]:
    """What makes a protocol of uvicorn, wired as its server does it."""
    from uvicorn import Config
    from uvicorn.server import ServerState

    config = Config(app, http=parser, **OPTIONS)
    config.load()
    state = ServerState()
    # Its server renders the date once a second.
    state.default_headers = [(b"date", formatdate(usegmt=True).encode()), *config.encoded_headers]
    protocol: Any = config.http_protocol_class
    return lambda: protocol(config=config, server_state=state, app_state={}, _loop=loop)


def make_floor(kind: str, loop: asyncio.AbstractEventLoop) -> Callable[[], Any]:
    """What makes the protocol that runs the application and nothing else."""
    from floors import AppFloor, starter

    assert kind == "app"
    start = starter(loop)
    return lambda: AppFloor(app, start)


MAKERS: dict[str, Callable[[str, asyncio.AbstractEventLoop], Callable[[], Any]]] = {
    "addax": make_addax,
    "uvicorn": make_uvicorn,
    "floor": make_floor,
}


def make_loop(name: str) -> asyncio.AbstractEventLoop:
    """An event loop by its name."""
    if name == "asyncio":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


def measure(
    loop: asyncio.AbstractEventLoop, make_protocol: Callable[[], Any], name: str, counts: Sequence[int]
) -> None:
    """Run the requests of a case, or the messages of an exchange, with marks around each count."""
    total = WARM_UP_COUNT + sum(counts)
    if name in CASES or name in CONNECTION_CASES:
        kind, case = (Driver, CASES[name]) if name in CASES else (ConnectionDriver, CONNECTION_CASES[name])
        driver = kind(loop, make_protocol, check(kind(loop, make_protocol), case))
        requests = case.requests(CHECKED_COUNT + total)[CHECKED_COUNT:]
    else:
        driver = MessageDriver(loop, make_protocol)
        driver.transport.count(check_exchange(driver, EXCHANGES[name]))
        frames = EXCHANGES[name].requests(None)
        # Objects of their own, as those that a socket gives.
        requests = [bytes(bytearray(frames[number % len(frames)])) for number in range(total)]
    driver.run(requests[:WARM_UP_COUNT])
    gc.collect()
    start = WARM_UP_COUNT
    for count in counts:
        run = requests[start : start + count]
        mark()
        driver.run(run)
        start += count
    mark()


def mark() -> None:
    """Call a C function that nothing else here calls; valgrind was told to cut its counters there."""
    os.getppid()


def fork(run: Callable[[], None]) -> tuple[int, bool]:
    """Run something in a child.

    Returns:
        The child's number, and whether all was well with it.
    """
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid, os.waitpid(pid, 0)[1] == 0
    status = 1
    try:
        run()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Run the cases that the command line names."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("server", help="addax-native, addax-httptools, addax-h11, uvicorn-httptools, floor-app, ...")
    arguments.add_argument("cases", choices=ALL_NAMES, nargs="+")
    arguments.add_argument("--loop", default="uvloop", choices=["uvloop", "asyncio"])
    arguments.add_argument("--counts", default=[20, 100], type=lambda text: [int(count) for count in text.split(",")])
    options = arguments.parse_args()
    name, _, parser = options.server.partition("-")

    def run(case_name: str) -> None:
        loop = make_loop(options.loop)
        asyncio.set_event_loop(loop)
        measure(loop, MAKERS[name](parser, loop), case_name, options.counts)

    # The collector runs at moments that differ from run to run; all servers go without it.
    gc.disable()
    # Once here, so that the children find everything imported.
    loop = make_loop(options.loop)
    MAKERS[name](parser, loop)
    loop.close()
    for case_name in options.cases:
        pid, is_well = fork(lambda: run(case_name))  # noqa: B023, it is called at once
        if not is_well:
            sys.exit(f"{options.server}: {case_name} failed")
        print(f"{case_name} {pid}", flush=True)
    if "perf" in sys._xoptions:
        # The children's are read by functions.py.
        Path(f"/tmp/perf-{os.getpid()}.map").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
