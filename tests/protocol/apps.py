"""Small applications, and makers of them."""

from __future__ import annotations

import asyncio
from typing import Any

START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
END: dict[str, Any] = {"type": "http.response.body", "body": b""}
HELLO: dict[str, Any] = {"type": "http.response.body", "body": b"hello"}


def start(status: int = 200, *headers: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def body(data: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(HELLO)


async def read_body(receive: Any) -> bytes:
    """The whole body; ``ConnectionResetError`` if the client goes."""
    content = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        content += message["body"]
        if not message["more_body"]:
            return content


async def echo(scope: Any, receive: Any, send: Any) -> None:
    content = await read_body(receive)
    await send(START)
    await send(body(content))


async def path_echo(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(body(scope["path"].encode()))


class Sends:
    """Sends these messages, and keeps the errors that ``send`` raised.

    Args:
        messages: in their order.
        catch: go on after an error; else it is raised.
        yields: let the loop turn after each message.
    """

    def __init__(self, *messages: Any, catch: bool = False, yields: bool = False) -> None:
        self.messages = messages
        self.catch = catch
        self.yields = yields
        self.errors: list[Exception] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for message in self.messages:
            try:
                await send(message)
            except Exception as error:
                self.errors.append(error)
                if not self.catch:
                    raise
            if self.yields:
                await turn()


class Stepped:
    """An application whose steps the test decides: it waits for ``go`` before each message."""

    def __init__(self, *messages: Any) -> None:
        self.messages = messages
        self.gates: list[asyncio.Event] = []
        self.sent = 0
        self.started = 0
        self.errors: list[BaseException] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.started += 1
        gate = asyncio.Event()
        self.gates.append(gate)
        await gate.wait()
        try:
            for message in self.messages:
                await send(message)
                self.sent += 1
        except BaseException as error:
            self.errors.append(error)
            raise

    def go(self, number: int = 0) -> None:
        self.gates[number].set()


async def turn() -> None:
    """Let whatever is ready run, a few times over."""
    for _ in range(5):
        await asyncio.sleep(0)
