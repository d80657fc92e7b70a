"""The common routes as Django has them. Django knows no lifespan, so its state is made by the first request."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from functools import cache

from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    DEBUG=False,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="not a secret",
)

from django.core.asgi import get_asgi_application  # noqa: E402  # needs the settings
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse  # noqa: E402
from django.shortcuts import redirect as redirect_to  # noqa: E402
from django.urls import path  # noqa: E402


@cache
def event(_name: str) -> asyncio.Event:
    return asyncio.Event()


async def show(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return JsonResponse({"echo": json.loads(request.body)})
    return JsonResponse({"framework": "django", "method": request.method, "query": request.META["QUERY_STRING"]})


async def state(_request: HttpRequest) -> HttpResponse:
    return JsonResponse({"started": "without a lifespan"})


async def stream(_request: HttpRequest) -> HttpResponse:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5):
            await asyncio.sleep(0)
            yield b"piece %d\n" % number

    return StreamingHttpResponse(pieces(), content_type="text/plain")


async def events(_request: HttpRequest) -> HttpResponse:
    async def pieces() -> AsyncIterator[str]:
        for number in range(3):
            yield f"id: {number}\ndata: event {number}\n\n"

    return StreamingHttpResponse(pieces(), content_type="text/event-stream")


def upload(request: HttpRequest) -> HttpResponse:
    """In a thread, as most of Django's views: Django has put the body into a file on the disk."""
    digest = hashlib.sha256()
    size = 0
    while chunk := request.read(65536):
        digest.update(chunk)
        size += len(chunk)
    return JsonResponse({"size": size, "sha256": digest.hexdigest()})


def file(_request: HttpRequest) -> HttpResponse:
    # Django reads it in a thread, and warns that its own FileResponse has no asynchronous iterator.
    return FileResponse(open(os.environ["DOWNLOAD"], "rb"), content_type="application/octet-stream")


_tasks: set[asyncio.Task[None]] = set()


async def background(_request: HttpRequest) -> HttpResponse:
    async def work() -> None:
        event("background").set()

    task = asyncio.create_task(work())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return JsonResponse({"background": "to come"})


async def background_done(_request: HttpRequest) -> HttpResponse:
    await event("background").wait()
    return JsonResponse({"background": "done"})


async def endless(_request: HttpRequest) -> HttpResponse:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.01)
        finally:
            event("ended").set()

    return StreamingHttpResponse(pieces(), content_type="text/plain")


async def endless_ended(_request: HttpRequest) -> HttpResponse:
    await event("ended").wait()
    return JsonResponse({"endless": "ended"})


async def cookies(request: HttpRequest) -> HttpResponse:
    response = JsonResponse(dict(request.COOKIES))
    response.set_cookie("first", "1")
    response.set_cookie("second", "2", httponly=True)
    return response


async def redirect(_request: HttpRequest) -> HttpResponse:
    return redirect_to("/json?from=redirect")


urlpatterns = [
    path("json", show),
    path("state", state),
    path("stream", stream),
    path("events", events),
    path("upload", upload),
    path("file", file),
    path("background", background),
    path("background/done", background_done),
    path("endless", endless),
    path("endless/ended", endless_ended),
    path("cookies", cookies),
    path("redirect", redirect),
]

app = get_asgi_application()
