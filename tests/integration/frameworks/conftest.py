"""Fixtures: a file to download, and servers that serve one framework's application for all tests of a module."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from served import Served

#: Bigger than every buffer on the way, and different everywhere.
DOWNLOAD_BYTES = 3_000_000


@pytest.fixture(scope="session")
def download(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the applications offer."""
    path = tmp_path_factory.mktemp("download") / "random.bin"
    path.write_bytes(random.Random(1).randbytes(DOWNLOAD_BYTES))
    return path


@pytest.fixture(scope="module")
def serve(download: Path) -> Iterator[Callable[..., Served]]:
    """Start a server, or get the one that an earlier test of the module has started with the same arguments.

    All of them are stopped after the module, and must end well and without a complaint in their logs.
    """
    servers: dict[tuple[str, ...], Served] = {}
    with ExitStack() as stack:

        def serve(*arguments: str) -> Served:
            if arguments not in servers:
                server = Served(*arguments, environment={"DOWNLOAD": str(download)})
                servers[arguments] = stack.enter_context(server)
            return servers[arguments]

        yield serve
        for server in servers.values():
            server.stop()
