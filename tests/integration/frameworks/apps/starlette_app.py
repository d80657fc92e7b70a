"""The common routes as Starlette has them, its middlewares, and a few routes that only it is asked for."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
    yield {
        "started": "by the lifespan",
        "background": asyncio.Event(),
        "ended": asyncio.Event(),
        "release": asyncio.Event(),
        "flood": {"bytes": 0},
        "messages": {},
    }


async def show(request: Request) -> Response:
    return JSONResponse({"framework": "starlette", "method": request.method, "query": request.url.query})


async def echo(request: Request) -> Response:
    return JSONResponse({"echo": await request.json()})


async def state(request: Request) -> Response:
    return JSONResponse({"started": request.state.started})


async def stream(_request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5):
            await asyncio.sleep(0)
            yield b"piece %d\n" % number

    return StreamingResponse(pieces(), media_type="text/plain")


async def events(_request: Request) -> Response:
    async def pieces() -> AsyncIterator[str]:
        for number in range(3):
            yield f"id: {number}\ndata: event {number}\n\n"

    return StreamingResponse(pieces(), media_type="text/event-stream")


async def upload(request: Request) -> Response:
    digest = hashlib.sha256()
    size = 0
    async for chunk in request.stream():
        digest.update(chunk)
        size += len(chunk)
    return JSONResponse({"size": size, "sha256": digest.hexdigest()})


async def file(_request: Request) -> Response:
    return FileResponse(os.environ["DOWNLOAD"], media_type="application/octet-stream")


async def background(request: Request) -> Response:
    return JSONResponse({"background": "to come"}, background=BackgroundTask(request.state.background.set))


async def background_done(request: Request) -> Response:
    await request.state.background.wait()
    return JSONResponse({"background": "done"})


async def endless(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.01)
        finally:
            request.state.ended.set()

    return StreamingResponse(pieces(), media_type="text/plain")


async def endless_ended(request: Request) -> Response:
    await request.state.ended.wait()
    return JSONResponse({"endless": "ended"})


async def cookies(request: Request) -> Response:
    response = JSONResponse(dict(request.cookies))
    response.set_cookie("first", "1")
    response.set_cookie("second", "2", httponly=True)
    return response


async def redirect(_request: Request) -> Response:
    return RedirectResponse("/json?from=redirect", status_code=302)


# ---- what only this application is asked for


async def client(request: Request) -> Response:
    assert request.client is not None
    return JSONResponse({"port": request.client.port})


async def large_fields(request: Request) -> Response:
    value = request.headers["x-large"]
    return PlainTextResponse(str(len(value)), headers={"x-large": value})


async def held_upload(request: Request) -> Response:
    """Take nothing of the body until /release is asked for."""
    await request.state.release.wait()
    return await upload(request)


async def release(request: Request) -> Response:
    request.state.release.set()
    return PlainTextResponse("released")


async def flood(request: Request) -> Response:
    """A stream that ends only with its client."""
    flood_state = request.state.flood

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield bytes(65536)
            flood_state["bytes"] += 65536

    return StreamingResponse(pieces())


async def flood_held(request: Request) -> Response:
    """Answers when the stream has not moved for a while."""
    flood_state = request.state.flood
    last = -1
    while last != flood_state["bytes"] or not last:
        last = flood_state["bytes"]
        await asyncio.sleep(0.3)
    return JSONResponse({"bytes": last})


async def messages(request: Request) -> Response:
    """Which messages answered an earlier request."""
    return JSONResponse(request.state.messages.get(request.query_params["path"], []))


async def raw_path(request: Request) -> Response:
    return JSONResponse({"path": request.scope["path"], "raw_path": request.scope["raw_path"].decode("ascii")})


async def fail(_request: Request) -> Response:
    raise RuntimeError("on purpose")


async def text(_request: Request) -> Response:
    return PlainTextResponse("a line of text\n" * 1000)


class Recorder:
    """Notes the types of all messages of a response, under its path."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        types: list[str] = []
        scope["state"]["messages"][scope["path"]] = types

        async def noting_send(message: Message) -> None:
            types.append(message["type"])
            await send(message)

        await self.app(scope, receive, noting_send)


class Stamp(BaseHTTPMiddleware):
    """Adds a field to each response."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-stamp"] = request.method
        return response


ROUTES = [
    Route("/json", show),
    Route("/json", echo, methods=["POST"]),
    Route("/state", state),
    Route("/stream", stream),
    Route("/events", events),
    Route("/upload", upload, methods=["POST"]),
    Route("/file", file),
    Route("/background", background),
    Route("/background/done", background_done),
    Route("/endless", endless),
    Route("/endless/ended", endless_ended),
    Route("/cookies", cookies),
    Route("/redirect", redirect),
    Route("/client", client),
    Route("/large-fields", large_fields),
    Route("/held-upload", held_upload, methods=["POST"]),
    Route("/release", release),
    Route("/flood", flood),
    Route("/flood/held", flood_held),
    Route("/messages", messages),
    Route("/fail", fail),
    Route("/text", text),
    Route("/raw-path/{rest:path}", raw_path),
]
MIDDLEWARE = [
    Middleware(CORSMiddleware, allow_origins=["https://example.org"], allow_methods=["PUT"], allow_credentials=True),
    Middleware(GZipMiddleware, minimum_size=500),
    Middleware(Stamp),
]

app = Starlette(
    lifespan=lifespan,
    middleware=[Middleware(Recorder)],
    routes=[*ROUTES, Mount("/middle", Starlette(routes=ROUTES, middleware=MIDDLEWARE))],
)
