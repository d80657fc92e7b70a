"""Memory goes back to the system once after many WebSockets have freed their compression, and not for a few."""

from __future__ import annotations

import asyncio

import pytest

from addax import is_compiled
from addax.websocket import heap


class Clock:
    """Stands in for the loop."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, object]] = []

    def call_later(self, delay: float, callback: object) -> None:
        self.calls.append((delay, callback))


@pytest.fixture
def trims(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []
    monkeypatch.setattr(heap, "_trim", lambda: done.append("trim") or True)
    monkeypatch.setattr(heap, "_heap", heap._Heap())
    return done


def test_many_are_worth_one_look(trims: list[str]) -> None:
    clock = Clock()
    for _ in range(heap._WORTH_COUNT - 1):
        heap.freed(clock)  # type: ignore[arg-type]
    assert not clock.calls
    for _ in range(1000):
        heap.freed(clock)  # type: ignore[arg-type]
    ((delay, give_back),) = clock.calls
    assert delay > 0
    give_back()  # type: ignore[operator]
    assert trims == ["trim"]
    for _ in range(heap._WORTH_COUNT):
        heap.freed(clock)  # type: ignore[arg-type]
    assert len(clock.calls) == 2


def test_without_help_of_the_library_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_trim", None)
    monkeypatch.setattr(heap, "_heap", heap._Heap())
    clock = Clock()
    for _ in range(1000):
        heap.freed(clock)  # type: ignore[arg-type]
    assert not clock.calls


def test_the_real_one() -> None:
    # It exists compiled only.
    assert (heap._trim is not None) == is_compiled()
    if heap._trim is not None:
        assert heap._trim() in (True, False)


def test_loop_is_asked_for_real(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_DELAY_S", 0.0)
    monkeypatch.setattr(heap, "_heap", heap._Heap())

    async def scenario() -> None:
        done = asyncio.Event()
        monkeypatch.setattr(heap, "_trim", done.set)
        loop = asyncio.get_running_loop()
        for _ in range(heap._WORTH_COUNT):
            heap.freed(loop)
        await done.wait()

    asyncio.run(asyncio.wait_for(scenario(), 10))
