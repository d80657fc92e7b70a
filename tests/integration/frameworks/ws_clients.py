"""Three WebSocket clients behind one face, so that each test is written once: websockets, aiohttp and httpx-ws."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import aiohttp
import httpx
import httpx_ws
import websockets
import wsproto
from served import PATIENCE_S

#: What a client says when the connection ended without a close frame.
ABNORMAL = 1006


class Closed(Exception):
    """The server has closed, with this code and reason."""

    def __init__(self, code: int, reason: str | None) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason or ""


class Refused(Exception):
    """The handshake was answered with something else than 101.

    Args:
        status: of the answer.
        headers: of the answer, names in lower case.
        body: of the answer; None if the client does not tell.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes | None) -> None:
        super().__init__(status, headers, body)
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body


class Client(Protocol):
    """An open WebSocket.

    Attributes:
        subprotocol: what the server chose.
        headers: of the answer to the handshake; can be asked with lower-case names.
    """

    subprotocol: str | None
    headers: Mapping[str, str]

    async def send(self, data: str | bytes) -> None: ...

    async def receive(self) -> str | bytes:
        """The next message.

        Raises:
            Closed: there is none.
        """

    async def close(self, code: int, reason: str) -> None: ...


class Connect(Protocol):
    """Open a WebSocket, close it at the end. ``url`` begins with http, ``compress`` offers permessage-deflate."""

    def __call__(
        self,
        url: str,
        subprotocols: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        compress: bool = False,
    ) -> AbstractAsyncContextManager[Client]: ...


# ---- websockets


class WebsocketsClient:
    def __init__(self, connection: websockets.ClientConnection) -> None:
        assert connection.response is not None
        self.connection = connection
        self.subprotocol = connection.subprotocol
        self.headers = connection.response.headers

    async def send(self, data: str | bytes) -> None:
        await self.connection.send(data)

    async def receive(self) -> str | bytes:
        try:
            return await self.connection.recv()
        except websockets.ConnectionClosed as error:
            frame = error.rcvd
            raise Closed(frame.code if frame else ABNORMAL, frame.reason if frame else "") from error

    async def close(self, code: int, reason: str) -> None:
        await self.connection.close(code, reason)


@asynccontextmanager
async def connect_websockets(
    url: str, subprotocols: Sequence[str] = (), headers: Mapping[str, str] | None = None, compress: bool = False
) -> AsyncIterator[WebsocketsClient]:
    options: dict[str, Any] = {
        "subprotocols": subprotocols or None,
        "additional_headers": headers,
        "compression": "deflate" if compress else None,
        "proxy": None,
        "open_timeout": PATIENCE_S,
    }
    try:
        async with websockets.connect(url.replace("http", "ws", 1), **options) as connection:
            yield WebsocketsClient(connection)
    except websockets.InvalidStatus as error:
        answer = error.response
        raise Refused(answer.status_code, answer.headers, answer.body) from error


# ---- aiohttp


class AiohttpClient:
    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self.connection = connection
        self.subprotocol = connection.protocol
        self.headers = connection._response.headers

    async def send(self, data: str | bytes) -> None:
        if isinstance(data, str):
            await self.connection.send_str(data)
        else:
            await self.connection.send_bytes(data)

    async def receive(self) -> str | bytes:
        message = await self.connection.receive()
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            data: str | bytes = message.data
            return data
        if message.type is aiohttp.WSMsgType.CLOSE:
            raise Closed(message.data, message.extra)
        raise Closed(ABNORMAL, "")

    async def close(self, code: int, reason: str) -> None:
        await self.connection.close(code=code, message=reason.encode())


@asynccontextmanager
async def connect_aiohttp(
    url: str, subprotocols: Sequence[str] = (), headers: Mapping[str, str] | None = None, compress: bool = False
) -> AsyncIterator[AiohttpClient]:
    options: dict[str, Any] = {"protocols": subprotocols, "headers": headers, "compress": 15 if compress else 0}
    async with aiohttp.ClientSession() as session:
        try:
            connection = await session.ws_connect(url, **options)
        except aiohttp.WSServerHandshakeError as error:
            raise Refused(error.status, error.headers or {}, None) from error
        try:
            yield AiohttpClient(connection)
        finally:
            await connection.close()


# ---- httpx-ws


class HttpxClient:
    def __init__(self, session: httpx_ws.AsyncWebSocketSession) -> None:
        assert session.response is not None
        self.session = session
        self.subprotocol = session.subprotocol
        self.headers = session.response.headers

    async def send(self, data: str | bytes) -> None:
        if isinstance(data, str):
            await self.session.send_text(data)
        else:
            await self.session.send_bytes(data)

    async def receive(self) -> str | bytes:
        try:
            event = await self.session.receive()
        except httpx_ws.WebSocketDisconnect as error:
            raise Closed(error.code, error.reason) from error
        except httpx_ws.WebSocketNetworkError as error:
            raise Closed(ABNORMAL, "") from error
        assert isinstance(event, wsproto.events.TextMessage | wsproto.events.BytesMessage)
        return event.data if isinstance(event, wsproto.events.TextMessage) else bytes(event.data)

    async def close(self, code: int, reason: str) -> None:
        await self.session.close(code, reason)


@asynccontextmanager
async def connect_httpx(
    url: str, subprotocols: Sequence[str] = (), headers: Mapping[str, str] | None = None, compress: bool = False
) -> AsyncIterator[HttpxClient]:
    assert not compress, "httpx-ws cannot"
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        try:
            async with httpx_ws.aconnect_ws(
                url, client, subprotocols=list(subprotocols) or None, headers=dict(headers or {})
            ) as session:
                yield HttpxClient(session)
        except httpx_ws.WebSocketUpgradeError as error:
            answer = error.response
            raise Refused(answer.status_code, answer.headers, None) from error


CLIENTS: dict[str, Connect] = {"websockets": connect_websockets, "aiohttp": connect_aiohttp, "httpx": connect_httpx}
