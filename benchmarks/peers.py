"""The servers that are compared over sockets: how each is started. A new one is a row of ``PEERS``.

Each runs with one process, on uvloop where it can, and otherwise as its makers ship it; what departs from that stands
in its row, with the reason. All run on the same Python, with the same application.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from environment import HERE

RAW_APP = "cases:app"
FASTAPI_APP = "fastapi_app:app"
#: Idle connections of the memory measurement must not be closed meanwhile, by nobody.
KEEP_ALIVE_S = 75


@dataclass(frozen=True)
class Tls:
    """Files of a certificate for 127.0.0.1."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Setup:
    """What a server is started for.

    Attributes:
        app: import string of the application.
        access_log: whether a line is written for each request, to standard output or standard error.
        tls: serve https with this.
    """

    app: str = RAW_APP
    access_log: bool = False
    tls: Tls | None = None


@dataclass(frozen=True)
class Peer:
    """A server.

    Attributes:
        label: for tables and plots, without the version.
        distribution: the package whose version the tables name; empty for the floors.
        arguments: of the interpreter, for a setup and a port.
        offers: what it can do beyond plain HTTP: ``access log``, ``tls``, ``websocket``.
        variant_of: takes part over WebSocket when this server does: the same one with another implementation of that.
        pure: addax as plain Python.
        is_floor: leaves out what a server is for.
    """

    label: str
    distribution: str
    arguments: Callable[[Setup, int], Sequence[str]]
    offers: frozenset[str] = field(default_factory=frozenset)
    variant_of: str = ""
    pure: bool = False
    is_floor: bool = False

    def command(self, setup: Setup, port: int) -> list[str]:
        """What starts the server."""
        return [sys.executable, *self.arguments(setup, port)]


WEBSOCKET = frozenset({"websocket"})
ALL = frozenset({"access log", "tls"}) | WEBSOCKET


def _addax(*more: str) -> Callable[[Setup, int], Sequence[str]]:
    def arguments(setup: Setup, port: int) -> Sequence[str]:
        log = "--access-log" if setup.access_log else "--no-access-log"
        tls = ("--ssl-certfile", str(setup.tls.certificate), "--ssl-keyfile", str(setup.tls.key)) if setup.tls else ()
        keep = ("--timeout-keep-alive", str(KEEP_ALIVE_S))
        return ("-m", "addax", setup.app, "--port", str(port), "--loop", "uvloop", *keep, log, *tls, *more)

    return arguments


def _uvicorn(*more: str) -> Callable[[Setup, int], Sequence[str]]:
    # Its "--ws auto" takes the sans-I/O core of websockets, where that is installed, as it is here.
    def arguments(setup: Setup, port: int) -> Sequence[str]:
        log = "--access-log" if setup.access_log else "--no-access-log"
        tls = ("--ssl-certfile", str(setup.tls.certificate), "--ssl-keyfile", str(setup.tls.key)) if setup.tls else ()
        names = ("--loop", "uvloop", "--http", "httptools", "--timeout-keep-alive", str(KEEP_ALIVE_S))
        return ("-m", "uvicorn", setup.app, "--port", str(port), *names, log, *tls, *more)

    return arguments


def _granian(setup: Setup, port: int) -> Sequence[str]:
    # One runtime thread is its default. So is taking no more connections than its backlog has places, 1024, which is
    # raised: ten thousand are opened.
    log = "--access-log" if setup.access_log else "--no-access-log"
    tls = ("--ssl-certificate", str(setup.tls.certificate), "--ssl-keyfile", str(setup.tls.key)) if setup.tls else ()
    names = ("--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop", "--http", "1")
    return ("-m", "granian", *names, "--backpressure", "20000", log, *tls, setup.app)


def _hypercorn(setup: Setup, port: int) -> Sequence[str]:
    log = ("--access-logfile", "-") if setup.access_log else ()
    tls = ("--certfile", str(setup.tls.certificate), "--keyfile", str(setup.tls.key)) if setup.tls else ()
    # It closes a connection after 1000 requests, for which its command has no option; that share of the cost is small.
    names = ("--worker-class", "uvloop", "--keep-alive", str(KEEP_ALIVE_S))
    return ("-m", "hypercorn", "--bind", f"127.0.0.1:{port}", *names, *log, *tls, setup.app)


def _gunicorn(parser: str) -> Callable[[Setup, int], Sequence[str]]:
    # Its own worker for ASGI, and not the class of uvicorn. The default of 2 s for idle connections and the worker's
    # heartbeat in a directory on disk are what its manual says to change.
    def arguments(setup: Setup, port: int) -> Sequence[str]:
        log = ("--access-logfile", "-") if setup.access_log else ()
        tls = ("--certfile", str(setup.tls.certificate), "--keyfile", str(setup.tls.key)) if setup.tls else ()
        names = ("--worker-class", "asgi", "--asgi-loop", "uvloop", "--http-parser", parser)
        more = ("--keep-alive", str(KEEP_ALIVE_S), "--worker-tmp-dir", "/dev/shm", "--no-control-socket")
        return ("-m", "gunicorn", "--bind", f"127.0.0.1:{port}", *names, *more, *log, *tls, setup.app)

    return arguments


def _fastpysgi(setup: Setup, port: int) -> Sequence[str]:
    # Its command has no option for the size of a request body, so a small script starts it. It brings its own loop.
    tls = (str(setup.tls.certificate), str(setup.tls.key)) if setup.tls else ()
    return (str(HERE / "start_fastpysgi.py"), setup.app, str(port), *tls)


def _floor(kind: str) -> Callable[[Setup, int], Sequence[str]]:
    return lambda setup, port: (str(HERE / "floors.py"), kind, setup.app, "--port", str(port))


PEERS: dict[str, Peer] = {
    "addax": Peer("addax", "addax", _addax(), ALL),
    "addax-httptools": Peer("addax, httptools", "addax", _addax("--http", "httptools"), ALL),
    "addax-h11": Peer("addax, h11", "addax", _addax("--http", "h11"), ALL),
    "addax-pure": Peer("addax, plain Python", "addax", _addax("--http", "httptools"), ALL, pure=True),
    "uvicorn": Peer("uvicorn", "uvicorn", _uvicorn(), ALL),
    "uvicorn-wsproto": Peer("uvicorn, wsproto", "uvicorn", _uvicorn("--ws", "wsproto"), ALL, variant_of="uvicorn"),
    "granian": Peer("granian", "granian", _granian, ALL),
    "hypercorn": Peer("hypercorn", "hypercorn", _hypercorn, ALL),
    # What "pip install gunicorn" gives, and with its optional parser. Of that the newest release that could be had is
    # older than the extra "fast" of gunicorn 27.0.1 asks for, and loses connections on uploads of 128 KiB.
    "gunicorn": Peer("gunicorn asgi", "gunicorn", _gunicorn("python"), ALL),
    "gunicorn-fast": Peer("gunicorn asgi, parser in C", "gunicorn", _gunicorn("fast"), ALL),
    # It has no access log, and no WebSocket.
    "fastpysgi": Peer("fastpysgi", "fastpysgi", _fastpysgi, frozenset({"tls"})),
    "floor-app": Peer("floor: the app alone", "", _floor("app"), WEBSOCKET, is_floor=True),
    "floor-answer": Peer("floor: bytes for bytes", "", _floor("answer"), WEBSOCKET, is_floor=True),
}
OWN = "addax"
#: Of these, who takes part unless others are asked for.
DEFAULT = tuple(
    name for name, peer in PEERS.items() if name not in ("addax-httptools", "addax-h11") and not peer.variant_of
)
