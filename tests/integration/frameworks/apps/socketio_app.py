"""A Socket.IO application."""

from __future__ import annotations

import asyncio
from typing import Any

import socketio

server = socketio.AsyncServer(async_mode="asgi", max_http_buffer_size=4_000_000, cors_allowed_origins="*")
left: asyncio.Queue[str] = asyncio.Queue()


@server.event
async def connect(sid: str, environ: dict[str, Any], auth: dict[str, str] | None) -> None:
    if auth and auth.get("ticket") == "forged":
        raise socketio.exceptions.ConnectionRefusedError("no entry")
    mark = environ.get("HTTP_X_MARK", "")
    await server.save_session(sid, {"mark": mark, "query": environ["QUERY_STRING"]})


@server.event
async def disconnect(sid: str, _reason: str) -> None:
    left.put_nowait((await server.get_session(sid))["mark"])


@server.event
async def facts(sid: str) -> dict[str, str]:
    session: dict[str, str] = await server.get_session(sid)
    return {**session, "transport": server.transport(sid)}


@server.event
async def echo(_sid: str, data: Any) -> Any:
    return data


@server.event
async def join(sid: str, room: str) -> None:
    await server.enter_room(sid, room)


@server.event
async def say(sid: str, room: str, text: str) -> None:
    await server.emit("said", text, room=room, skip_sid=sid)


@server.event
async def leave(sid: str) -> None:
    await server.disconnect(sid)


@server.on("echo", namespace="/other")
async def other_echo(_sid: str, data: Any) -> Any:
    return ["other", data]


@server.on("connect", namespace="/other")
async def other_connect(_sid: str, _environ: dict[str, Any]) -> None:
    pass


@server.event
async def wait_for_left(_sid: str) -> str:
    return await left.get()


app = socketio.ASGIApp(server)
