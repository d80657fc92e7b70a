"""A WSGI application without a framework."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    handler = ROUTES.get(environ["PATH_INFO"])
    if handler is None:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"not here\n"]
    return handler(environ, start_response)


def show(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    names = ("REQUEST_METHOD", "QUERY_STRING", "SERVER_PROTOCOL", "wsgi.url_scheme", "HTTP_X_MARK", "REMOTE_ADDR")
    body = json.dumps({name: environ.get(name) for name in names}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def stream(_environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    for number in range(5):
        yield b"piece %d\n" % number


def upload(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    digest = hashlib.sha256()
    size = 0
    while chunk := environ["wsgi.input"].read(65536):
        digest.update(chunk)
        size += len(chunk)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"size": size, "sha256": digest.hexdigest()}).encode()]


def cookies(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Set-Cookie", "first=1"), ("Set-Cookie", "second=2")])
    return [b"two cookies\n"]


ROUTES = {"/json": show, "/stream": stream, "/upload": upload, "/cookies": cookies}
