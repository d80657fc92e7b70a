"""asgi.message_log: the lines of log level trace, and what never gets into them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from addax.asgi import message_log as module
from addax.asgi.message_log import TRACE_LOG_LEVEL, MessageLog


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=1)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert record.levelno == TRACE_LOG_LEVEL
        assert record.name == "addax.asgi"
        self.lines.append(record.getMessage())


@pytest.fixture
def lines() -> Iterator[list[str]]:
    handler = Lines()
    level = module.logger.level
    module.logger.addHandler(handler)
    module.logger.setLevel(TRACE_LOG_LEVEL)
    yield handler.lines
    module.logger.removeHandler(handler)
    module.logger.setLevel(level)


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"secret", "more_body": False}


async def swallow(message: Any) -> None:
    pass


def call(app: Any, scope: dict[str, Any], send: Any = swallow) -> None:
    asyncio.run(MessageLog(app)(scope, receive, send))


async def echo(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"set-cookie", b"secret")]})
    await send({"type": "http.response.body", "body": message["body"] * 2})


def test_lines_of_a_whole_request(lines: list[str]) -> None:
    call(echo, {"type": "http", "client": ("127.0.0.1", 5000), "headers": [(b"cookie", b"secret")]})
    assert lines == [
        "127.0.0.1:5000 - ASGI [1] Started scope={'type': 'http', 'client': ('127.0.0.1', 5000), 'headers': '<...>'}",
        "127.0.0.1:5000 - ASGI [1] Receive {'type': 'http.request', 'body': '<6 bytes>', 'more_body': False}",
        "127.0.0.1:5000 - ASGI [1] Send {'type': 'http.response.start', 'status': 200, 'headers': '<...>'}",
        "127.0.0.1:5000 - ASGI [1] Send {'type': 'http.response.body', 'body': '<12 bytes>'}",
        "127.0.0.1:5000 - ASGI [1] Completed",
    ]
    assert "secret" not in "".join(lines)


def test_calls_are_numbered_and_a_missing_client_is_left_out(lines: list[str]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    async def main() -> None:
        log = MessageLog(app)
        await log({"type": "lifespan"}, receive, swallow)
        await log({"type": "http", "client": None}, receive, swallow)

    asyncio.run(main())
    assert [line for line in lines if "Started" not in line] == ["ASGI [1] Completed", "ASGI [2] Completed"]


@pytest.mark.parametrize("error", [ValueError("secret"), asyncio.CancelledError()])
def test_exception_passes_and_leaves_one_line(error: BaseException, lines: list[str]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    with pytest.raises(type(error)):
        call(app, {"type": "http"})
    assert lines[-1] == "ASGI [1] Raised exception"


def test_messages_and_return_values_pass_unchanged(lines: list[str]) -> None:
    sent: list[Any] = []
    received: list[Any] = []
    message = {"type": "websocket.send", "text": "grüße", "bytes": None}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        received.append(await receive())
        await send(message)

    async def send(event: Any) -> None:
        sent.append(event)

    call(app, {"type": "websocket"}, send)
    assert sent[0] is message
    assert received == [{"type": "http.request", "body": b"secret", "more_body": False}]
    assert "ASGI [1] Send {'type': 'websocket.send', 'text': '<5 chars>', 'bytes': None}" in lines


@pytest.mark.parametrize("body", [b"abcd", bytearray(b"abcd"), memoryview(b"abcd")])
def test_every_kind_of_bytes_is_counted(body: Any, lines: list[str]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.body", "body": body})

    call(app, {"type": "http"})
    assert "ASGI [1] Send {'type': 'http.response.body', 'body': '<4 bytes>'}" in lines


@pytest.mark.parametrize(
    ("message", "shown"),
    [(None, "None"), ("start", "'start'"), ({"type": "x", "body": 5}, "{'type': 'x', 'body': 5}"), ({1: 2}, "{1: 2}")],
)
def test_wrong_message_is_shown_and_passed_on(message: Any, shown: str, lines: list[str]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(message)

    async def send(event: Any) -> None:
        raise TypeError("not for me")

    with pytest.raises(TypeError, match="not for me"):
        call(app, {"type": "http"}, send)
    assert f"ASGI [1] Send {shown}" in lines


class Rude:
    def __repr__(self) -> str:
        return "rude\nINFO: forged\x1b[31m"


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("path", "/a\r\nINFO: forged", r"'/a\r\nINFO: forged'"),
        ("path", "/\x1b[2J\x00\x85\u2028\u202e", r"'/\x1b[2J\x00\x85\u2028\u202e'"),
        ("path", "/é", "'/é'"),
        ("query_string", b"\n\xff\x1b", r"b'\n\xff\x1b'"),
        ("app", Rude(), r"rude\nINFO: forged\x1b[31m"),
        ("state", {"password": "secret"}, "'<...>'"),
    ],
)
def test_control_characters_and_state_stay_out(key: str, value: Any, shown: str, lines: list[str]) -> None:
    call(echo, {"type": "http", key: value})
    assert lines[0] == f"ASGI [1] Started scope={{'type': 'http', '{key}': {shown}}}"
    assert all(line.isprintable() for line in lines)


def test_control_characters_in_the_client_stay_out(lines: list[str]) -> None:
    call(echo, {"type": "http", "client": ("a\nb\u202e", 1)})
    assert lines[-1] == r"a\nb\u202e:1 - ASGI [1] Completed"


def test_without_level_trace_nothing_is_logged_and_nothing_wrapped(lines: list[str]) -> None:
    module.logger.setLevel(logging.DEBUG)
    seen: list[Any] = []

    async def app(*args: Any) -> None:
        seen.append(args)

    scope = {"type": "http"}
    call(app, scope)
    assert seen == [(scope, receive, swallow)]
    assert lines == []
