"""Fixtures of the integration tests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import PATIENCE_S, PROCESS_APP, Process

from addax.core.registry import LOOPS, resolve


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait at a stop for requests that clients may have on the way: here there are none."""
    monkeypatch.setattr("addax.http1.connection.DRAIN_REST_S", 0.0)


@pytest.fixture(params=sorted(LOOPS))
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Run a coroutine in each of the event loops, with asyncio's own checks on."""

    def run(main: Coroutine[Any, Any, None]) -> None:
        loop = resolve("--loop", request.param, LOOPS)[1]()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(asyncio.wait_for(main, 2 * PATIENCE_S))
            left = asyncio.all_tasks(loop)
            assert not left, left
        finally:
            for task in asyncio.all_tasks(loop):
                task.cancel()
                loop.run_until_complete(asyncio.wait({task}, timeout=PATIENCE_S))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            asyncio.set_event_loop(None)
            loop.close()

    return run


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the server has logged so far."""
    caplog.set_level(logging.INFO, "addax.error")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "addax.error"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start ``python -m addax app:app …`` in a temporary directory; ended with the test."""
    (tmp_path / "app.py").write_text(PROCESS_APP)
    processes: list[Process] = []

    def start(*args: str, **options: Any) -> Process:
        processes.append(Process(tmp_path, *args, **options))
        return processes[-1]

    yield start
    for process in processes:
        process.close()
