"""A pytest plugin for other projects' suites (``run_upstream_suites.py``): tells at the end which server served them.

It uses only what both servers have, so that it says the truth about either: where the module ``uvicorn`` came from, how
many servers were made, and how many requests they have counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
import uvicorn

_servers: list[uvicorn.Server] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--as-recorded",
        action="store_true",
        help="show httpx's test_main the Server field and the framing that uvicorn with h11 would have sent",
    )


def pytest_configure() -> None:
    original_init = uvicorn.Server.__init__

    def init(self: uvicorn.Server, *args: Any, **options: Any) -> None:
        original_init(self, *args, **options)
        _servers.append(self)

    uvicorn.Server.__init__ = init  # type: ignore[method-assign]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--as-recorded"):
        return
    module = next(item.getparent(pytest.Module).obj for item in items if item.nodeid.startswith("tests/test_main"))
    original = module.remove_date_header
    module.remove_date_header = lambda lines: _as_recorded(original(lines))


def _as_recorded(lines: Iterable[str]) -> list[str]:
    changed = ["server: uvicorn" if line == "server: addax" else line for line in lines]
    return [re.sub(r"^(content-length: \d+|transfer-encoding: chunked)$", _FRAMING, line) for line in changed]


_FRAMING = "Transfer-Encoding: chunked"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    count = sum(server.server_state.total_requests for server in _servers)
    terminalreporter.write_line(
        f"SERVED BY {uvicorn.Server.__module__} of {uvicorn.__file__}: {len(_servers)} servers, {count} requests"
    )
