"""The common WebSocket routes as Starlette has them, and one that keeps many clients in step."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

left: asyncio.Queue[list[Any]] = asyncio.Queue()


async def echo(websocket: WebSocket) -> None:
    offered = websocket.scope["subprotocols"]
    await websocket.accept("chat.v2" if "chat.v2" in offered else None)
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])


async def watched(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect as error:
        left.put_nowait([error.code, error.reason])


async def has_left(_request: Request) -> JSONResponse:
    return JSONResponse(await left.get())


async def facts(websocket: WebSocket) -> None:
    await websocket.accept(headers=[(b"x-served-by", b"starlette"), (b"set-cookie", b"seen=1")])
    await websocket.send_json(
        {
            "room": websocket.path_params["room"],
            "query": dict(websocket.query_params),
            "cookies": websocket.cookies,
            "mark": websocket.headers["x-mark"],
            "scheme": websocket.url.scheme,
        }
    )
    await websocket.close()


async def double(websocket: WebSocket) -> None:
    await websocket.accept()
    async for value in websocket.iter_json():
        await websocket.send_json({"twice": value["once"] * 2})


async def push(websocket: WebSocket) -> None:
    await websocket.accept()
    for number in range(3):
        await websocket.send_text(f"piece {number}")
    await websocket.close()


async def refuse(websocket: WebSocket) -> None:
    await websocket.close()


async def deny(websocket: WebSocket) -> None:
    await websocket.send_denial_response(PlainTextResponse("members only", 401, {"x-why": "no ticket"}))


async def close(websocket: WebSocket) -> None:
    await websocket.accept()
    code, _, reason = (await websocket.receive_text()).partition(" ")
    await websocket.close(int(code), reason)


async def fail(websocket: WebSocket) -> None:
    if websocket.query_params["when"] == "later":
        await websocket.accept()
        await websocket.receive_text()
    raise RuntimeError("on purpose, " + websocket.query_params["when"])


app = Starlette(
    routes=[
        WebSocketRoute("/echo", echo),
        WebSocketRoute("/watched", watched),
        Route("/left", has_left),
        WebSocketRoute("/facts/{room}", facts),
        WebSocketRoute("/double", double),
        WebSocketRoute("/push", push),
        WebSocketRoute("/refuse", refuse),
        WebSocketRoute("/deny", deny),
        WebSocketRoute("/close", close),
        WebSocketRoute("/fail", fail),
    ]
)
