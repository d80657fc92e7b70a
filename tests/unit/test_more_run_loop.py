"""What stands in for ``asyncio.Runner`` on the oldest Python: nothing is left behind when the loop is closed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from addax.core.registry import LOOPS, resolve
from addax.loops import running


class Loops:
    """Makes loops and keeps them."""

    def __init__(self, name: str) -> None:
        self.made: list[asyncio.AbstractEventLoop] = []
        self._factory = resolve("--loop", name, LOOPS)[1]

    def __call__(self) -> asyncio.AbstractEventLoop:
        self.made.append(self._factory())
        return self.made[-1]


@pytest.fixture(params=sorted(LOOPS))
def loops(request: pytest.FixtureRequest) -> Loops:
    return Loops(request.param)


@pytest.fixture(params=["run", "_run"])
def run(request: pytest.FixtureRequest) -> Any:
    return getattr(running, request.param)


def test_main_runs_in_a_loop_of_the_factory_that_is_closed_afterwards(run: Any, loops: Loops) -> None:
    seen: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        seen.append(asyncio.get_running_loop())

    run(main(), loops)
    assert seen == loops.made
    assert loops.made[0].is_closed()


def test_without_a_factory_the_loop_is_asyncios_own(run: Any) -> None:
    seen: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        seen.append(asyncio.get_running_loop())

    run(main(), None)
    assert seen[0].is_closed()


def test_tasks_that_were_left_are_cancelled_and_may_clean_up(run: Any, loops: Loops) -> None:
    events: list[str] = []

    async def left() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            events.append("cleaned up")

    async def main() -> None:
        events.append(repr(asyncio.create_task(left()).done()))
        await asyncio.sleep(0)

    run(main(), loops)
    assert events == ["False", "cleaned up"]


def test_what_a_left_task_raises_while_it_is_cancelled_is_reported(run: Any, loops: Loops) -> None:
    reports: list[dict[str, Any]] = []
    kept: list[asyncio.Task[None]] = []

    async def left() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            raise ValueError("no clean up") from None

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reports.append(context))
        kept.append(asyncio.create_task(left()))
        await asyncio.sleep(0)

    run(main(), loops)
    assert [str(report["exception"]) for report in reports] == ["no clean up"]
    assert reports[0]["task"] is kept[0]


def test_async_generators_are_closed_and_an_error_of_main_comes_out(run: Any, loops: Loops) -> None:
    events: list[str] = []

    async def numbers() -> Any:
        try:
            yield 1
        finally:
            events.append("closed")

    generator = numbers()

    async def main() -> None:
        await generator.__anext__()
        raise LookupError("of main")

    with pytest.raises(LookupError, match="of main"):
        run(main(), loops)
    assert events == ["closed"]
    assert loops.made[0].is_closed()
