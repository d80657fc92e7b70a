"""The common WebSocket routes as Django Channels has them, and a group of clients."""

from __future__ import annotations

import asyncio
import json
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    DEBUG=False,
    ROOT_URLCONF=__name__,
    SECRET_KEY="not a secret",
)

from django.core.asgi import get_asgi_application  # noqa: E402  # needs the settings

django = get_asgi_application()

from channels.exceptions import DenyConnection  # noqa: E402
from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402

left: asyncio.Queue[list[Any]] = asyncio.Queue()


async def has_left(_request: HttpRequest) -> JsonResponse:
    return JsonResponse(await left.get(), safe=False)


urlpatterns = [path("left", has_left)]


class Echo(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        offered = self.scope["subprotocols"]
        await self.accept("chat.v2" if "chat.v2" in offered else None)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data, bytes_data)


class Watched(Echo):
    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        left.put_nowait([message["code"], message.get("reason")])
        await super().websocket_disconnect(message)


class Facts(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept(headers=[(b"x-served-by", b"channels"), (b"set-cookie", b"seen=1")])
        fields = {name.decode(): value.decode() for name, value in self.scope["headers"]}
        cookies = {name: morsel.value for name, morsel in SimpleCookie(fields["cookie"]).items()}
        found = {
            "room": self.scope["url_route"]["kwargs"]["room"],
            "query": dict(parse_qsl(self.scope["query_string"].decode())),
            "cookies": cookies,
            "mark": fields["x-mark"],
            "scheme": self.scope["scheme"],
        }
        await self.send(json.dumps(found))
        await self.close()


class Double(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content: Any, **_more: Any) -> None:
        await self.send_json({"twice": content["once"] * 2})


class Push(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()
        for number in range(3):
            await self.send(f"piece {number}")
        await self.close()


class Refuse(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        raise DenyConnection


class Close(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        code, _, reason = (text_data or "").partition(" ")
        await self.close(int(code), reason)


class Fail(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        if self.scope["query_string"] == b"when=at-once":
            raise RuntimeError("on purpose, at-once")
        await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        raise RuntimeError("on purpose, later")


class Room(AsyncWebsocketConsumer):
    """What one client says, all get."""

    groups = ("room",)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.channel_layer.group_send("room", {"type": "said", "text": text_data})

    async def said(self, event: dict[str, str]) -> None:
        await self.send(event["text"])


websockets = URLRouter(
    [
        path("echo", Echo.as_asgi()),
        path("watched", Watched.as_asgi()),
        path("facts/<str:room>", Facts.as_asgi()),
        path("double", Double.as_asgi()),
        path("push", Push.as_asgi()),
        path("refuse", Refuse.as_asgi()),
        path("close", Close.as_asgi()),
        path("fail", Fail.as_asgi()),
        path("room", Room.as_asgi()),
    ]
)
app = ProtocolTypeRouter({"http": django, "websocket": websockets})
