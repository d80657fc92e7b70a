"""Bytes in, bytes out, through ``addax.testing``: every test here runs over every parser."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from addax import testing
from addax.asgi.exchange import ExchangeLog
from addax.core import clock
from addax.core.settings import Http1Settings, WebSocketSettings
from addax.core.wire import Peer
from tests.parsers import USABLE_PARSERS

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"
GET_10 = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"

Connect = Callable[..., testing.FakeClient]


@pytest.fixture(params=USABLE_PARSERS)
def connect(request: pytest.FixtureRequest) -> Connect:
    """Makes a client of an application; settings are given as keywords."""

    def make(
        app: Any,
        *,
        peer: Peer = testing.PEER,
        sends_files: bool = False,
        access: Any = None,
        lifespan_state: dict[str, Any] | None = None,
        ws: str = "auto",
        websocket: WebSocketSettings | None = None,
        **settings: Any,
    ) -> testing.FakeClient:
        service = testing.make_service(
            app,
            parser=request.param,
            settings=Http1Settings(**settings),
            lifespan_state=lifespan_state,
            access=access,
            ws=ws,
            websocket=websocket,
        )
        return testing.FakeClient(service, peer=peer, sends_files=sends_files)

    return make


class ErrorLog:
    """What the server has logged at ERROR."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def records(self) -> list[logging.LogRecord]:
        return [record for record in self._caplog.records if record.levelno >= logging.ERROR]

    @property
    def text(self) -> str:
        return "\n".join(
            record.getMessage() + (f" {record.exc_info[1]!r}" if record.exc_info else "") for record in self.records
        )


@pytest.fixture
def error_log(caplog: pytest.LogCaptureFixture) -> ErrorLog:
    caplog.set_level(logging.DEBUG, "addax")
    return ErrorLog(caplog)


class FakeClock:
    """The clock that deadlines are kept on; it moves when told to."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time

    async def advance(self, client: testing.FakeClient, seconds: float) -> None:
        """Let time pass for a client's connection."""
        self.time += seconds
        while client.host.deadline is not None and client.host.deadline <= self.time:
            await client.reach_deadline()


@pytest.fixture
def fake_clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    monkeypatch.setattr(clock, "now", fake)
    return fake


class Recorder(ExchangeLog):
    """Keeps the exchanges."""

    def __init__(self) -> None:
        self.exchanges: list[Any] = []

    def record(self, exchange: Any) -> None:
        self.exchanges.append(exchange)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()
