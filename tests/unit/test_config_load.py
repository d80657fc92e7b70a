"""Config.load: from what the user wrote to an ASGI 3 application, and how the interface is found out."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from addax.asgi.adapters.asgi2 import Asgi2Adapter
from addax.asgi.lifespan import Lifespan
from addax.asgi.message_log import MessageLog
from addax.config.config import Config
from addax.config.interface import detect_interface, is_coroutine_function, positional_count
from addax.core.errors import AppLoadError, ConfigError


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    log = logging.getLogger("addax.asgi")
    level = log.level
    yield
    log.setLevel(level)


async def asgi3(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


def passes_on(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
    return asgi3(scope, receive, send)


def passes_all_on(*args: Any) -> Awaitable[None]:
    return asgi3(*args)


def asgi2(scope: Any) -> Callable[[Any, Any], Awaitable[None]]:
    raise AssertionError


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


class Asgi3Object:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError


class WsgiObject:
    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []


class Asgi2Class:
    def __init__(self, scope: Any) -> None:
        raise AssertionError

    async def __call__(self, receive: Any, send: Any) -> None:
        raise AssertionError


class AwaitableClass:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    def __await__(self) -> Any:
        raise AssertionError


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (asgi3, "asgi3"),
        (Asgi3Object(), "asgi3"),
        (Asgi3Object().__call__, "asgi3"),
        (functools.partial(asgi3), "asgi3"),
        (passes_on, "asgi3"),
        (passes_all_on, "asgi3"),
        (AwaitableClass, "asgi3"),
        (asgi2, "asgi2"),
        (Asgi2Class, "asgi2"),
        (lambda scope, extra=None: None, "asgi2"),
        (iter, "asgi3"),
    ],
)
def test_interface_is_detected(app: Any, interface: str) -> None:
    assert detect_interface(app) == interface


@pytest.mark.parametrize("app", [wsgi, WsgiObject(), WsgiObject().__call__])
def test_interface_wsgi_is_not_guessed_but_named(app: Any) -> None:
    with pytest.raises(AppLoadError, match=r"looks like a WSGI application. If it is one, use --interface wsgi"):
        detect_interface(app)


def test_coroutine_functions_are_told_from_what_makes_them() -> None:
    assert is_coroutine_function(asgi3)
    assert not is_coroutine_function(Asgi3Object)
    assert not is_coroutine_function(passes_on)
    assert positional_count(dict) is None


def make(app: Any, **options: Any) -> Config:
    return Config(app, **{"log_config": None, "http": "h11", **options})


def test_load_keeps_an_asgi3_application_as_it_is() -> None:
    config = make(asgi3)
    config.load()
    assert config.loaded
    assert config.loaded_app is asgi3
    assert (config.interface, config.asgi_version) == ("asgi3", "3.0")
    assert config.http_protocol_class.__name__ == "H11Parser"
    assert config.ws_protocol_class.__name__ == "FrameCodec"
    assert config.encoded_headers == [(b"server", b"addax")]


def test_load_twice_is_the_same_as_once() -> None:
    calls = []

    def make_app() -> Any:
        calls.append(1)
        return asgi3

    config = make(make_app, factory=True)
    config.load()
    config.load()
    assert calls == [1]


def test_load_adapts_asgi2() -> None:
    config = make(asgi2)
    config.load()
    assert isinstance(config.loaded_app, Asgi2Adapter)
    assert config.asgi_version == "2.0"


def test_load_adapts_wsgi_when_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addax.asgi.adapters.wsgi.wsgi_adapter", lambda app: ("adapted", app))
    config = make(wsgi, interface="wsgi")
    config.load()
    assert config.loaded_app == ("adapted", wsgi)
    assert config.asgi_version == "3.0"


def test_load_shows_messages_at_level_trace() -> None:
    config = make(asgi3, log_level="trace")
    config.load()
    assert isinstance(config.loaded_app, MessageLog)


def test_load_headers_go_before_ours() -> None:
    config = make(asgi3, headers=[("X-A", "b"), ("Server", "mine")])
    config.load()
    assert config.encoded_headers == [(b"x-a", b"b"), (b"server", b"mine")]
    config = make(asgi3, server_header=False)
    config.load()
    assert config.encoded_headers == []


def test_load_refuses_a_parser_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"^http: 'nomod:Parser' cannot be used"):
        make(asgi3, http="nomod:Parser").load()


def test_lifespan_class_makes_the_lifespan_of_a_config() -> None:
    config = make(asgi3, lifespan="on", timeout_lifespan_startup=3)
    config.load()
    assert config.lifespan_class is not None
    lifespan = config.lifespan_class(config)
    assert isinstance(lifespan, Lifespan)
    assert (lifespan.app, lifespan.mode, lifespan.startup_timeout_s) == (asgi3, "on", 3.0)


def test_load_app_of_a_subclass_is_used() -> None:
    class Own(Config):
        def load_app(self) -> Any:
            return asgi3

    config = Own("nomod:app", log_config=None)
    config.load()
    assert config.loaded_app is asgi3
