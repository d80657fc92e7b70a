"""The servers that ``loopback.py`` compares: how each is installed and started. A new one is a row of ``PEERS``."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent / "src"
APP = "cases:app"


@dataclass(frozen=True)
class Peer:
    """A server.

    Attributes:
        title: with the version, for the tables.
        arguments: of the interpreter; ``{port}`` is filled in. No access log, one process, uvloop.
        requirements: what is installed for it into an environment of its own; without any it runs in the script's.
    """

    title: str
    arguments: str
    requirements: tuple[str, ...] = ()

    def python(self) -> Path:
        """The interpreter that has the server installed."""
        if not self.requirements:
            return Path(sys.executable)
        return prepared(self.requirements)

    def command(self, port: int) -> list[str]:
        """What starts the server."""
        return [str(self.python()), *self.arguments.format(port=port).split()]


PEERS: dict[str, Peer] = {
    "addax-httptools": Peer(
        "addax, httptools", f"-m addax {APP} --port {{port}} --no-access-log --loop uvloop --http httptools"
    ),
    "addax-h11": Peer("addax, h11", f"-m addax {APP} --port {{port}} --no-access-log --loop uvloop --http h11"),
    "uvicorn": Peer(
        "uvicorn 0.54.0, httptools",
        f"-m uvicorn {APP} --port {{port}} --no-access-log --loop uvloop --http httptools",
        ("uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0"),
    ),
    "uvicorn-h11": Peer(
        "uvicorn 0.54.0, h11",
        f"-m uvicorn {APP} --port {{port}} --no-access-log --loop uvloop --http h11",
        ("uvicorn==0.54.0", "uvloop==0.23.0", "h11==0.16.0"),
    ),
    "granian": Peer(
        "granian 2.8.7",
        f"-m granian --interface asgi --host 127.0.0.1 --port {{port}} --no-ws --http 1 --loop uvloop {APP}",
        ("granian==2.8.7", "uvloop==0.23.0"),
    ),
    "hypercorn": Peer(
        "hypercorn 0.18.0",
        f"-m hypercorn --bind 127.0.0.1:{{port}} --worker-class uvloop {APP}",
        ("hypercorn==0.18.0", "uvloop==0.23.0"),
    ),
}


def prepared(requirements: tuple[str, ...]) -> Path:
    """The interpreter of an environment that has the requirements; it is made on the first call."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "addax-benchmarks"
    tag = f"{sys.implementation.cache_tag}-{'-'.join(requirements).replace('==', '-')}"
    python = cache / tag / "bin" / "python"
    stamp = cache / tag / "complete"
    if not stamp.exists():
        print(f"installing {', '.join(requirements)} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(cache / tag)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *requirements], check=True)
        stamp.touch()
    return python


def environment() -> dict[str, str]:
    """Where the application and addax are found."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE), str(SOURCES)))}
