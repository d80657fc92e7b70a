"""Awaitables whose answer is at hand: what ``send`` and ``receive`` return when there is nothing to wait for.

A coroutine costs a frame; these cost an object, or nothing at all. They are ``collections.abc.Coroutine`` by their
methods, because applications do hand ``receive()`` to ``asyncio.create_task`` and ``asyncio.wait_for``.
"""

from __future__ import annotations

import asyncio
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


class Receiver:
    """What ``Waiting`` waits for: filled by a cycle that has nothing at hand now."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        #: Of those who wait; None: nobody does.
        self._waiters: list[asyncio.Future[None]] | None = None

    def has_message(self) -> bool:
        """Whether ``next_message`` has something to give."""
        raise NotImplementedError

    def next_message(self) -> Message:
        """Give the next message; there is one."""
        raise NotImplementedError

    def wait(self) -> asyncio.Future[None]:
        """A future that is done when it is worth asking again."""
        future: asyncio.Future[None] = asyncio.Future()
        if self._waiters is None:
            self._waiters = [future]
        else:
            self._waiters.append(future)
        return future

    def forget(self, future: asyncio.Future[None]) -> None:
        """Who waited with this future does so no more."""
        if self._waiters is not None and future in self._waiters:
            self._waiters.remove(future)
            if not self._waiters:
                self._waiters = None

    def wake(self) -> None:
        """Let everybody look again."""
        waiters = self._waiters
        if waiters is not None:
            self._waiters = None
            for future in waiters:
                if not future.done():
                    future.set_result(None)


class Waiting:
    """What ``receive`` returns when no message is at hand: awaiting it waits for one.

    A message is taken at the moment at which the waiter goes on. So one that is cancelled just then, by a timeout,
    takes none along: it stays for the next ``receive``.
    """

    __slots__ = ("_future", "_receiver")

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._future: asyncio.Future[None] | None = None

    def __await__(self) -> Generator[Any, Any, Message]:
        """The iterator is the object itself."""
        return cast("Generator[Any, Any, Message]", self)

    def __iter__(self) -> Waiting:
        """An iterator is its own iterator."""
        return self

    def __next__(self) -> asyncio.Future[None]:
        """Give what the task has to wait for, or end with the message."""
        receiver = self._receiver
        if receiver.has_message():
            raise StopIteration(receiver.next_message())
        future = self._future = receiver.wait()
        # What ``Future.__await__`` tells the task: that it was waited for, and not handed on by mistake.
        future._asyncio_future_blocking = True
        return future

    def send(self, value: Any) -> asyncio.Future[None]:
        """As a coroutine."""
        return self.__next__()

    def throw(self, *error: Any) -> NoReturn:
        """As a coroutine that does not catch."""
        self.close()
        raise _instance(error)

    def close(self) -> None:
        """Wait no more."""
        if self._future is not None:
            self._receiver.forget(self._future)
            self._future = None


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
