"""The common routes as Quart has them."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from typing import Any

from quart import Quart, Response, jsonify, redirect, request, send_file

app = Quart(__name__)
app.config["MAX_CONTENT_LENGTH"] = None
app.config["RESPONSE_TIMEOUT"] = None
background_event = asyncio.Event()
ended = asyncio.Event()


@app.before_serving
async def start() -> None:
    app.config["STARTED"] = "by the lifespan"


@app.get("/json")
async def show() -> dict[str, str]:
    return {"framework": "quart", "method": request.method, "query": request.query_string.decode()}


@app.post("/json")
async def echo() -> dict[str, Any]:
    return {"echo": await request.get_json()}


@app.get("/state")
async def state() -> dict[str, str]:
    return {"started": app.config["STARTED"]}


@app.get("/stream")
async def stream() -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5):
            await asyncio.sleep(0)
            yield b"piece %d\n" % number

    return Response(pieces(), mimetype="text/plain")


@app.get("/events")
async def events() -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"id: %d\ndata: event %d\n\n" % (number, number)

    return Response(pieces(), mimetype="text/event-stream")


@app.post("/upload")
async def upload() -> dict[str, Any]:
    digest = hashlib.sha256()
    size = 0
    async for chunk in request.body:
        digest.update(chunk)
        size += len(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/file")
async def file() -> Response:
    return await send_file(os.environ["DOWNLOAD"], mimetype="application/octet-stream")


@app.get("/background")
async def background() -> dict[str, str]:
    async def work() -> None:
        background_event.set()

    app.add_background_task(work)
    return {"background": "to come"}


@app.get("/background/done")
async def background_done() -> dict[str, str]:
    await background_event.wait()
    return {"background": "done"}


@app.get("/endless")
async def endless() -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    return Response(pieces(), mimetype="text/plain")


@app.get("/endless/ended")
async def endless_ended() -> dict[str, str]:
    await ended.wait()
    return {"endless": "ended"}


@app.get("/cookies")
async def cookies() -> Response:
    response = jsonify(dict(request.cookies))
    response.set_cookie("first", "1")
    response.set_cookie("second", "2", httponly=True)
    return response


@app.get("/redirect")
async def redirected() -> Any:
    return redirect("/json?from=redirect")
