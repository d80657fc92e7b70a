"""The common routes as FastAPI has them."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import BackgroundTasks, FastAPI, Request, Response
from fastapi.responses import FileResponse, RedirectResponse, StreamingResponse


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"started": "by the lifespan", "background": asyncio.Event(), "ended": asyncio.Event()}


app = FastAPI(lifespan=lifespan)


@app.api_route("/json", methods=["GET", "HEAD"])
async def show(request: Request) -> dict[str, str]:
    return {"framework": "fastapi", "method": request.method, "query": request.url.query}


@app.post("/json")
async def echo(body: dict[str, Any]) -> dict[str, Any]:
    return {"echo": body}


@app.get("/state")
async def state(request: Request) -> dict[str, str]:
    return {"started": request.state.started}


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5):
            await asyncio.sleep(0)
            yield b"piece %d\n" % number

    return StreamingResponse(pieces(), media_type="text/plain")


@app.get("/events")
async def events() -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        for number in range(3):
            yield f"id: {number}\ndata: event {number}\n\n"

    return StreamingResponse(pieces(), media_type="text/event-stream")


@app.post("/upload")
async def upload(request: Request) -> dict[str, Any]:
    digest = hashlib.sha256()
    size = 0
    async for chunk in request.stream():
        digest.update(chunk)
        size += len(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/file")
async def file() -> FileResponse:
    return FileResponse(os.environ["DOWNLOAD"], media_type="application/octet-stream")


@app.get("/background")
async def background(request: Request, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(request.state.background.set)
    return {"background": "to come"}


@app.get("/background/done")
async def background_done(request: Request) -> dict[str, str]:
    await request.state.background.wait()
    return {"background": "done"}


@app.get("/endless")
async def endless(request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.01)
        finally:
            request.state.ended.set()

    return StreamingResponse(pieces(), media_type="text/plain")


@app.get("/endless/ended")
async def endless_ended(request: Request) -> dict[str, str]:
    await request.state.ended.wait()
    return {"endless": "ended"}


@app.get("/cookies")
async def cookies(request: Request, response: Response) -> dict[str, str]:
    response.set_cookie("first", "1")
    response.set_cookie("second", "2", httponly=True)
    return dict(request.cookies)


@app.get("/redirect")
async def redirect() -> RedirectResponse:
    return RedirectResponse("/json?from=redirect", status_code=302)
