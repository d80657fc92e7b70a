"""The common WebSocket routes as FastAPI has them, with what it finds in path, query, fields and cookies."""

# No `from __future__ import annotations`: FastAPI reads the signatures of handlers when they are made.

import asyncio
from typing import Annotated, Any

from fastapi import Cookie, Depends, FastAPI, Header, WebSocket, WebSocketDisconnect, WebSocketException
from fastapi.responses import PlainTextResponse

app = FastAPI()
left: asyncio.Queue[list[Any]] = asyncio.Queue()


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    offered = websocket.scope["subprotocols"]
    await websocket.accept("chat.v2" if "chat.v2" in offered else None)
    while (message := await websocket.receive())["type"] == "websocket.receive":
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])


@app.websocket("/watched")
async def watched(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect as error:
        left.put_nowait([error.code, error.reason])


@app.get("/left")
async def has_left() -> list[Any]:
    return await left.get()


@app.websocket("/facts/{room}")
async def facts(
    websocket: WebSocket,
    room: str,
    a: str,
    b: str,
    x_mark: Annotated[str, Header()],
    seen: Annotated[str, Cookie()],
    other: Annotated[str, Cookie()],
) -> None:
    await websocket.accept(headers=[(b"x-served-by", b"fastapi"), (b"set-cookie", b"seen=1")])
    cookies = {"seen": seen, "other": other}
    query = {"a": a, "b": b}
    scheme = websocket.url.scheme
    await websocket.send_json({"room": room, "query": query, "cookies": cookies, "mark": x_mark, "scheme": scheme})
    await websocket.close()


@app.websocket("/double")
async def double(websocket: WebSocket) -> None:
    await websocket.accept()
    async for value in websocket.iter_json():
        await websocket.send_json({"twice": value["once"] * 2})


@app.websocket("/push")
async def push(websocket: WebSocket) -> None:
    await websocket.accept()
    for number in range(3):
        await websocket.send_text(f"piece {number}")
    await websocket.close()


async def find_ticket() -> None:
    raise WebSocketException(code=1008, reason="no ticket")


@app.websocket("/refuse")
async def refuse(websocket: WebSocket, _ticket: Annotated[None, Depends(find_ticket)]) -> None:
    await websocket.accept()


@app.websocket("/deny")
async def deny(websocket: WebSocket) -> None:
    await websocket.send_denial_response(PlainTextResponse("members only", 401, {"x-why": "no ticket"}))


@app.websocket("/close")
async def close(websocket: WebSocket) -> None:
    await websocket.accept()
    code, _, reason = (await websocket.receive_text()).partition(" ")
    raise WebSocketException(int(code), reason)


@app.websocket("/fail")
async def fail(websocket: WebSocket, when: str) -> None:
    if when == "later":
        await websocket.accept()
        await websocket.receive_text()
    raise RuntimeError("on purpose, " + when)
