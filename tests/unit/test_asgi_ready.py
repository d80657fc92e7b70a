from __future__ import annotations

import asyncio
import collections.abc

import pytest

from addax.asgi.ready import SENT, Received


def test_awaiting_gives_the_answer_without_a_turn_of_the_loop():
    async def run() -> None:
        turned = False

        def turn() -> None:
            nonlocal turned
            turned = True

        asyncio.get_running_loop().call_soon(turn)
        message = {"type": "http.request"}
        assert await Received(message) is message
        assert await SENT is None
        assert await SENT is None
        assert turned is False

    asyncio.run(run())


def test_they_are_coroutines_to_whoever_asks():
    assert isinstance(SENT, collections.abc.Coroutine)
    assert isinstance(Received({}), collections.abc.Coroutine)
    assert asyncio.iscoroutine(SENT)
    assert asyncio.iscoroutine(Received({}))


def test_tasks_waits_and_gatherings_take_them():
    async def run() -> None:
        message = {"type": "x"}
        assert await asyncio.create_task(Received(message)) is message
        assert await asyncio.wait_for(Received(message), 5) is message
        assert await asyncio.gather(SENT, Received(message)) == [None, message]
        assert await asyncio.create_task(SENT) is None

    asyncio.run(run())


@pytest.mark.parametrize("coroutine", [SENT, Received({})])
def test_they_can_be_closed_and_thrown_into(coroutine: collections.abc.Coroutine):
    coroutine.close()
    with pytest.raises(KeyError):
        coroutine.throw(KeyError("x"))
    with pytest.raises(KeyError):
        coroutine.throw(KeyError)
    with pytest.raises(KeyError):
        coroutine.throw(KeyError, KeyError("x"), None)


def test_a_message_whose_value_is_a_tuple_or_an_exception_passes_unchanged():
    async def run() -> None:
        for value in ((1, 2), ValueError("x")):
            assert await Received(value) is value  # type: ignore[arg-type]

    asyncio.run(run())


def test_received_iterates_once_to_its_message():
    received = Received({"a": 1})
    assert iter(received) is received
    with pytest.raises(StopIteration) as caught:
        next(received)
    assert caught.value.value == {"a": 1}
