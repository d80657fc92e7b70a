"""Some routes as Flask has them, which speaks WSGI."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, redirect, request, send_file

app = Flask(__name__)


@app.get("/json")
def show() -> dict[str, str]:
    return {"framework": "flask", "method": request.method, "query": request.query_string.decode()}


@app.post("/json")
def echo() -> dict[str, Any]:
    return {"echo": request.get_json()}


@app.get("/stream")
def stream() -> Response:
    def pieces() -> Iterator[bytes]:
        for number in range(5):
            yield b"piece %d\n" % number

    return Response(pieces(), mimetype="text/plain")


@app.post("/upload")
def upload() -> dict[str, Any]:
    digest = hashlib.sha256()
    size = 0
    while chunk := request.stream.read(65536):
        digest.update(chunk)
        size += len(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/file")
def file() -> Response:
    return send_file(os.environ["DOWNLOAD"], mimetype="application/octet-stream")


@app.get("/redirect")
def redirected() -> Any:
    return redirect("/json?from=redirect")
