"""When a process has served enough."""

from __future__ import annotations

import asyncio

import pytest

from addax.asgi.state import ServerState
from addax.core.settings import WorkerSettings
from addax.server import recycling
from addax.server.memory import resident_bytes
from addax.server.recycling import Limits

MEBIBYTE = 1 << 20


def test_requests_are_counted_by_the_state() -> None:
    async def main() -> None:
        state, told = ServerState(), asyncio.Event()
        limits = Limits(WorkerSettings(), 2, state, told.set)
        limits.start(asyncio.get_running_loop())
        state.count_request()
        assert limits.reached() is None
        assert not told.is_set()
        state.count_request()
        assert told.is_set()
        assert limits.reached() == "Maximum request limit of 2 exceeded"
        limits.stop()
        assert state.on_limit is None

    asyncio.run(main())


def test_age_is_watched_by_a_timer() -> None:
    async def main() -> None:
        told = asyncio.Event()
        limits = Limits(WorkerSettings(lifetime_max_s=0.01), None, ServerState(), told.set)
        assert limits.reached() is None
        limits.start(asyncio.get_running_loop())
        await asyncio.wait_for(told.wait(), 10)
        assert limits.reached() == "Lifetime limit of 0.01 seconds exceeded"

    asyncio.run(main())


def test_memory_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recycling, "MEMORY_CHECK_S", 0.001)
    sizes = iter([10 * MEBIBYTE, 20 * MEBIBYTE, 31 * MEBIBYTE])

    async def main() -> None:
        told = asyncio.Event()
        settings = WorkerSettings(memory_max_bytes=30 * MEBIBYTE, lifetime_max_s=600)
        limits = Limits(settings, None, ServerState(), told.set, lambda: next(sizes))
        limits.start(asyncio.get_running_loop())
        await asyncio.wait_for(told.wait(), 10)
        assert limits.reached() == "Memory limit of 30 MiB exceeded, 31 MiB in use"
        limits.stop()

    asyncio.run(main())


def test_nothing_is_reached_without_bounds() -> None:
    assert Limits(WorkerSettings(), None, ServerState(), lambda: None).reached() is None


def test_resident_memory_is_told() -> None:
    assert resident_bytes() > MEBIBYTE


def test_resident_memory_without_proc_is_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_file(*_: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", no_such_file)
    assert resident_bytes() > MEBIBYTE
