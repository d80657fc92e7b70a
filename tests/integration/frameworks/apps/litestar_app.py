"""The common routes as Litestar has them."""

# No `from __future__ import annotations`: Litestar reads the signatures of handlers when they are made.

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response, get, head, post
from litestar.background_tasks import BackgroundTask
from litestar.response import File, Redirect, Stream


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    app.state.started = "by the lifespan"
    app.state.background = asyncio.Event()
    app.state.ended = asyncio.Event()
    yield


@get("/json")
async def show(request: Request) -> dict[str, str]:
    return {"framework": "litestar", "method": request.method, "query": request.url.query}


@head("/json")
async def show_head() -> None:
    return None


@post("/json", status_code=200)
async def echo(data: dict[str, Any]) -> dict[str, Any]:
    return {"echo": data}


@get("/state")
async def state(request: Request) -> dict[str, str]:
    return {"started": request.app.state.started}


@get("/stream")
async def stream() -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5):
            await asyncio.sleep(0)
            yield b"piece %d\n" % number

    return Stream(pieces(), media_type="text/plain")


@get("/events")
async def events() -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"id: %d\ndata: event %d\n\n" % (number, number)

    return Stream(pieces(), media_type="text/event-stream")


@post("/upload", status_code=200, request_max_body_size=None)
async def upload(request: Request) -> dict[str, Any]:
    digest = hashlib.sha256()
    size = 0
    async for chunk in request.stream():
        digest.update(chunk)
        size += len(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@get("/file")
async def file() -> File:
    return File(os.environ["DOWNLOAD"], media_type="application/octet-stream")


@get("/background")
async def background(request: Request) -> Response[dict[str, str]]:
    async def work() -> None:
        request.app.state.background.set()

    return Response({"background": "to come"}, background=BackgroundTask(work))


@get("/background/done")
async def background_done(request: Request) -> dict[str, str]:
    await request.app.state.background.wait()
    return {"background": "done"}


@get("/endless")
async def endless(request: Request) -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.01)
        finally:
            request.app.state.ended.set()

    return Stream(pieces(), media_type="text/plain")


@get("/endless/ended")
async def endless_ended(request: Request) -> dict[str, str]:
    await request.app.state.ended.wait()
    return {"endless": "ended"}


@get("/cookies")
async def cookies(request: Request) -> Response[dict[str, str]]:
    response = Response(dict(request.cookies))
    response.set_cookie("first", "1")
    response.set_cookie("second", "2", httponly=True)
    return response


@get("/redirect", status_code=302)
async def redirect() -> Redirect:
    return Redirect("/json?from=redirect", status_code=302)


app = Litestar(
    lifespan=[lifespan],
    openapi_config=None,
    route_handlers=[
        show,
        show_head,
        echo,
        state,
        stream,
        events,
        upload,
        file,
        background,
        background_done,
        endless,
        endless_ended,
        cookies,
        redirect,
    ],
)
