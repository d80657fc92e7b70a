"""Awaitables whose answer is at hand: what ``send`` and ``receive`` return when there is nothing to wait for.

A coroutine costs a frame; these cost an object, or nothing at all. They are ``collections.abc.Coroutine`` by their
methods, because applications do hand ``receive()`` to ``asyncio.create_task`` and ``asyncio.wait_for``.
"""

from __future__ import annotations

from collections.abc import Generator
from types import FunctionType
from typing import Any, NoReturn, cast

from addax.core.types import Message

# An iterator that was used up stays used up, so one serves everybody.
# (Typed as what an Awaitable has to return; it needs no more of a generator than its end.)
_EXHAUSTED = cast("Generator[Any, Any, None]", iter(()))


class Sent:
    """What ``send`` returns: awaiting it gives None at once. It has no state, so there is one for all."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        """Ends at once."""
        return _EXHAUSTED

    def send(self, value: Any) -> NoReturn:
        """As a coroutine that ends."""
        raise StopIteration

    def throw(self, *error: Any) -> NoReturn:
        """As a coroutine that does not catch."""
        raise _instance(error)

    def close(self) -> None:
        """As a coroutine that has ended."""


class Received:
    """What ``receive`` returns when a message is at hand: awaiting it gives the message at once."""

    __slots__ = ("_message",)

    def __init__(self, message: Message) -> None:
        self._message = message

    def __await__(self) -> Generator[Any, Any, Message]:
        """The iterator is the object itself."""
        return cast("Generator[Any, Any, Message]", self)

    def __iter__(self) -> Received:
        """An iterator is its own iterator."""
        return self

    def __next__(self) -> NoReturn:
        """End with the message."""
        raise StopIteration(self._message)

    def send(self, value: Any) -> NoReturn:
        """As a coroutine that ends with the message."""
        raise StopIteration(self._message)

    def throw(self, *error: Any) -> NoReturn:
        """As a coroutine that does not catch."""
        raise _instance(error)

    def close(self) -> None:
        """As a coroutine that has ended."""


if isinstance(Sent.__await__, FunctionType):
    # In plain Python a method of the iterator is cheaper: awaiting then calls no Python function at all.
    Sent.__await__ = _EXHAUSTED.__iter__  # type: ignore[method-assign,assignment]

SENT = Sent()


def _instance(error: tuple[Any, ...]) -> BaseException:
    """The exception of a ``throw`` call, which may come in the form of three arguments."""
    if isinstance(error[0], BaseException):
        return error[0]
    if len(error) > 1 and isinstance(error[1], BaseException):
        return error[1]
    made = error[0]()
    assert isinstance(made, BaseException)
    return made
