"""The common WebSocket routes as Litestar has them. What a handler raises, it turns into a close code itself."""

# No `from __future__ import annotations`: Litestar reads the signatures of handlers when they are made.

import asyncio
from typing import Any

from litestar import Litestar, WebSocket, get, websocket, websocket_listener
from litestar.exceptions import WebSocketDisconnect

left: asyncio.Queue[list[Any]] = asyncio.Queue()


@websocket("/echo")
async def echo(socket: WebSocket) -> None:
    offered = socket.scope["subprotocols"]
    await socket.accept(subprotocols="chat.v2" if "chat.v2" in offered else None)
    while (message := await socket.receive())["type"] == "websocket.receive":
        if message.get("text") is not None:
            await socket.send_text(message["text"])
        else:
            await socket.send_bytes(message["bytes"])


@websocket("/watched")
async def watched(socket: WebSocket) -> None:
    await socket.accept()
    # The exception that Litestar makes of a disconnect has no reason in it.
    while (message := await socket.receive())["type"] == "websocket.receive":
        await socket.send_text(message["text"])
    left.put_nowait([message["code"], message.get("reason")])


@get("/left")
async def has_left() -> list[Any]:
    return await left.get()


@websocket("/facts/{room:str}")
async def facts(socket: WebSocket, room: str) -> None:
    await socket.accept(headers={"x-served-by": "litestar", "set-cookie": "seen=1"})
    await socket.send_json(
        {
            "room": room,
            "query": dict(socket.query_params),
            "cookies": dict(socket.cookies),
            "mark": socket.headers["x-mark"],
            "scheme": socket.url.scheme,
        }
    )
    await socket.close()


@websocket_listener("/double")
async def double(data: dict[str, int]) -> dict[str, int]:
    return {"twice": data["once"] * 2}


@websocket("/push")
async def push(socket: WebSocket) -> None:
    await socket.accept()
    for number in range(3):
        await socket.send_text(f"piece {number}")
    await socket.close()


@websocket("/refuse")
async def refuse(socket: WebSocket) -> None:
    await socket.close()


@websocket("/close")
async def close(socket: WebSocket) -> None:
    await socket.accept()
    code, _, reason = (await socket.receive_text()).partition(" ")
    await socket.close(int(code), reason)


@websocket("/fail")
async def fail(socket: WebSocket, when: str) -> None:
    if when == "later":
        await socket.accept()
        try:
            await socket.receive_text()
        except WebSocketDisconnect:
            return
    raise RuntimeError("on purpose, " + when)


app = Litestar(openapi_config=None, route_handlers=[echo, watched, has_left, facts, double, push, refuse, close, fail])
