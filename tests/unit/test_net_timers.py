from __future__ import annotations

import asyncio

import pytest

from addax.core import clock
from addax.core.clock import NEVER
from addax.net.timers import SLOT_S, Wheel


class Item:
    def __init__(self) -> None:
        self.deadline = NEVER
        self.looked_at = NEVER
        self.reached = 0

    def deadline_reached(self) -> None:
        self.reached += 1


@pytest.fixture
def wheel():
    loop = asyncio.new_event_loop()
    made = Wheel(loop)
    yield made
    made.close()
    loop.close()


def test_a_deadline_is_reached_once_and_not_before(wheel: Wheel):
    item = Item()
    wheel.put(item, 100.0)
    wheel.turn(99.9)
    assert item.reached == 0
    wheel.turn(100.0 + SLOT_S)
    assert item.reached == 1
    assert item.deadline == NEVER
    wheel.turn(200.0)
    assert item.reached == 1


def test_a_later_deadline_moves_on_and_an_earlier_one_takes_effect(wheel: Wheel):
    later, earlier = Item(), Item()
    wheel.put(later, 100.0)
    wheel.put(later, 110.0)
    wheel.put(earlier, 100.0)
    wheel.put(earlier, 50.0)
    wheel.turn(51.0)
    assert (later.reached, earlier.reached) == (0, 1)
    wheel.turn(101.0)
    assert later.reached == 0
    wheel.turn(111.0)
    assert (later.reached, earlier.reached) == (1, 1)


def test_removing_and_clearing_a_deadline(wheel: Wheel):
    removed, cleared = Item(), Item()
    wheel.put(removed, 10.0)
    wheel.remove(removed)
    wheel.remove(removed)
    wheel.put(cleared, 10.0)
    cleared.deadline = NEVER
    wheel.turn(11.0)
    assert (removed.reached, cleared.reached) == (0, 0)
    assert cleared.looked_at == NEVER


def test_putting_from_within_a_turn(wheel: Wheel):
    class Again(Item):
        def deadline_reached(self) -> None:
            super().deadline_reached()
            wheel.put(self, 20.0)

    item = Again()
    wheel.put(item, 10.0)
    wheel.turn(11.0)
    wheel.turn(21.0)
    assert item.reached == 2


def test_the_loop_turns_the_wheel_while_something_is_in_it():
    async def run() -> None:
        loop = asyncio.get_running_loop()
        wheel = Wheel(loop)
        reached = loop.create_future()

        class Waker(Item):
            def deadline_reached(self) -> None:
                reached.set_result(clock.now())

        start = clock.now()
        later = Item()
        wheel.put(later, start + 3600.0)
        wheel.put(Waker(), start)
        assert await asyncio.wait_for(reached, 10) >= start
        assert wheel._timer is not None
        wheel.close()
        assert wheel._timer is None

    asyncio.run(run())
