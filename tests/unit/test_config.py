"""Config: what it takes, what it has after construction, and what it does to the process."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import pickle
import socket
import sys
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest

import addax
from addax.config.config import Config
from addax.config.log_setup import LOGGING_CONFIG
from addax.core import registry
from addax.core.errors import ConfigError, StartupError
from addax.core.settings import Bind

LOGGERS = ("addax", "addax.error", "addax.access", "addax.asgi")


@pytest.fixture(autouse=True)
def _untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging, ``sys.path`` and the two foreign variables as they were before."""
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(log, log.level, list(log.handlers), log.propagate) for log in loggers]
    yield
    for log, level, handlers, propagate in before:
        log.setLevel(level)
        log.handlers[:] = handlers
        log.propagate = propagate


def make(app: Any = "main:app", **options: Any) -> Config:
    return Config(app, **{"log_config": None, **options})


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


def test_positional_arguments_are_uvicorns() -> None:
    config = Config("main:app", "0.0.0.0", 80, None, 3, "asyncio", "h11")
    assert (config.host, config.port, config.fd, config.loop, config.http) == ("0.0.0.0", 80, 3, "asyncio", "h11")


def test_attributes_have_one_form() -> None:
    config = make(
        port="80",
        headers=[("X-A", " b")],
        uds_mode="660",
        uds=Path("x.sock"),
        forwarded_allow_ips="10.0.0.1, 10.0.0.2",
        reload_includes="*.html",
        timeout_keep_alive="7",
    )
    assert config.port == 80
    assert config.headers == [("X-A", "b")]
    assert config.uds_mode == 0o660
    assert config.uds == "x.sock"
    assert config.forwarded_allow_ips == ["10.0.0.1", "10.0.0.2"]
    assert config.reload_includes == ["*.html"]
    assert config.timeout_keep_alive == 7


def test_attributes_before_load() -> None:
    config = make(app)
    assert config.app is app
    assert (config.workers, config.headers, config.encoded_headers) == (1, [], [])
    assert (config.loaded, config.loaded_app, config.ssl, config.is_ssl) == (False, None, None, False)
    assert (config.use_subprocess, config.should_reload) == (False, False)
    assert (config.reload_dirs, config.reload_dirs_excludes) == ([], [])
    assert config.forwarded_allow_ips == ["127.0.0.1", "::1"]


def test_error_names_the_parameter() -> None:
    with pytest.raises(ConfigError, match=r"^port: 99999 is not in the range 0 to 65535$"):
        make(port=99999)
    with pytest.raises(ValueError, match=r"^uds: cannot be used together with fd$"):
        make(uds="x", fd=0)


def test_unknown_parameter_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="prot"):
        make(prot=1)


def test_web_concurrency_stands_in_for_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "1")
    assert make().workers == 1
    monkeypatch.setenv("WEB_CONCURRENCY", "")
    assert make().workers == 1
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    assert make().workers == 4
    assert make().use_subprocess
    assert make(workers=1).workers == 1
    monkeypatch.setenv("WEB_CONCURRENCY", "many")
    with pytest.raises(ConfigError, match=r"^WEB_CONCURRENCY: 'many' is not a whole number"):
        make()


def test_forwarded_allow_ips_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.0/8")
    assert make().settings().proxy.trusted == ("10.0.0.0/8",)
    assert make(forwarded_allow_ips="*").settings().proxy.trusted == ("*",)
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "")
    assert make().settings().proxy.trusted == ()
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.1/8")
    with pytest.raises(ConfigError, match=r"^FORWARDED_ALLOW_IPS: '10.0.0.1/8' is an address inside of a network"):
        make()


def test_env_file_is_loaded_before_the_variables_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / ".env"
    file.write_text("FORWARDED_ALLOW_IPS=10.9.9.9\nADDAX_TEST_SET=from file\n")
    monkeypatch.setattr("os.environ", {"ADDAX_TEST_SET": "before"})
    caplog.set_level("INFO", "addax.error")
    config = make(env_file=file)
    assert config.forwarded_allow_ips == ["10.9.9.9"]
    assert os.environ["ADDAX_TEST_SET"] == "before"
    assert f"Loading environment from '{file}'" in caplog.messages


def test_env_file_without_dotenv_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.touch()
    monkeypatch.setitem(sys.modules, "dotenv", None)
    with pytest.raises(ConfigError, match=r"^env_file: needs python-dotenv"):
        make(env_file=file)


def test_env_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"A=\xff\xfe\n")
    with pytest.raises(ConfigError, match=r"^env_file: .* cannot be read"):
        make(env_file=file)


def test_app_dir_goes_in_front_of_the_search_path(tmp_path: Path) -> None:
    make(app_dir=tmp_path)
    assert sys.path[0] == str(tmp_path)
    make()
    assert sys.path[0] == str(tmp_path)


def test_reload_options_without_reload_are_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = make(reload_dirs=str(tmp_path))
    assert config.reload_dirs == [tmp_path]
    assert caplog.messages == [
        "Current configuration will not reload as not all conditions are met, please refer to documentation."
    ]


def test_logging_is_configured_by_default() -> None:
    logging.getLogger("addax").handlers.clear()
    config = Config("main:app")
    assert config.log_config is LOGGING_CONFIG
    assert len(logging.getLogger("addax").handlers) == 1


def test_logging_is_left_alone_without_a_configuration() -> None:
    log = logging.getLogger("addax")
    log.handlers.clear()
    log.setLevel(logging.NOTSET)
    logging.getLogger("addax.error").setLevel(logging.NOTSET)
    make()
    assert (log.handlers, log.level, logging.getLogger("addax.error").level) == ([], logging.NOTSET, logging.NOTSET)


def test_log_level_alone_changes_levels_alone() -> None:
    logging.getLogger("addax").handlers.clear()
    make(log_level="ERROR")
    assert logging.getLogger("addax.error").level == logging.ERROR
    assert logging.getLogger("addax").handlers == []


@pytest.mark.parametrize("kind", [dict, RawConfigParser, io.StringIO])
def test_log_config_takes_objects(kind: type) -> None:
    text = "[loggers]\nkeys=root\n[handlers]\nkeys=\n[formatters]\nkeys=\n[logger_root]\nhandlers=\n"
    value: Any = {"version": 1, "disable_existing_loggers": False}
    if kind is RawConfigParser:
        value = RawConfigParser()
        value.read_string(text)
    elif kind is io.StringIO:
        value = io.StringIO(text)
    assert Config("main:app", log_config=value).log_config is value


def test_log_config_error_names_the_parameter() -> None:
    with pytest.raises(ConfigError, match=r"^log_config: "):
        Config("main:app", log_config={"version": 2})


def test_settings_follow_the_attributes() -> None:
    config = make(limit_body_size="1k", uds_mode="600", uds="x.sock", forwarded_fields=["host"])
    config.port = 9
    settings = config.settings()
    (bind,) = settings.listen.binds
    assert (bind.port, bind.uds, bind.uds_mode) == (9, "x.sock", 0o600)
    assert settings.http1.body_max_bytes == 1024
    assert settings.proxy.fields == frozenset({"host"})
    config.port = 99999
    with pytest.raises(ConfigError, match=r"^port: "):
        config.settings()


def test_settings_times_are_floats() -> None:
    assert type(make(timeout_head=3).settings().http1.head_timeout_s) is float


def test_settings_h11_bound_is_that_of_the_head() -> None:
    http1 = make(h11_max_incomplete_event_size=1000).settings().http1
    assert (http1.head_max_bytes, http1.request_line_max_bytes) == (1000, 1000)
    assert make(limit_head_size=20000).settings().http1.request_line_max_bytes == 16384


def test_settings_own_server_and_date_take_the_place_of_ours() -> None:
    http1 = make(headers=[("Server", "x"), ("Date", "y")]).settings().http1
    assert (http1.server_header, http1.date_header) == (False, False)
    assert http1.extra_headers == ((b"server", b"x"), (b"date", b"y"))


def test_settings_trace_follows_the_level() -> None:
    assert not make().settings().log.trace
    assert make(log_level="trace").settings().log.trace


def test_loop_factory() -> None:
    assert make(loop="none").get_loop_factory() is None
    assert make(loop="asyncio").get_loop_factory() is registry.resolve("loop", "asyncio", registry.LOOPS)[1]
    assert make(loop="asyncio:new_event_loop").get_loop_factory() is asyncio.new_event_loop
    with pytest.raises(ConfigError, match=r"^loop: 'nomod:x' cannot be used"):
        make(loop="nomod:x").get_loop_factory()


def test_setup_event_loop_says_what_to_use() -> None:
    with pytest.raises(AttributeError, match="get_loop_factory"):
        make().setup_event_loop()


def test_bind_socket_listens_and_logs_the_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "addax.error")
    with make(port=0).bind_socket() as sock:
        host, port = sock.getsockname()
        assert sock.get_inheritable()
        with socket.create_connection((host, port), timeout=5):
            pass
        assert caplog.messages == [f"Addax running on http://127.0.0.1:{port} (Press CTRL+C to quit)"]
        with pytest.raises(StartupError, match="already in use"):
            make(port=port).bind_socket()


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_bind_socket_brackets_ipv6(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "addax.error")
    with make(host="::1", port=0).bind_socket() as sock:
        assert f"http://[::1]:{sock.getsockname()[1]} " in caplog.messages[0]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
def test_bind_socket_takes_unix_sockets_and_descriptors(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "addax.error")
    path = tmp_path / "s"
    with make(uds=path).bind_socket() as sock, make(fd=sock.fileno()).bind_socket() as copy:
        assert copy.getsockname() == str(path)
    assert caplog.messages == [
        f"Addax running on unix socket {path} (Press CTRL+C to quit)",
        f"Addax running on socket {path} (Press CTRL+C to quit)",
    ]


def test_bind_socket_makes_one_socket_of_one_bind(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "addax.error")
    with make(bind="127.0.0.1:0").bind_socket() as sock:
        assert caplog.messages == [f"Addax running on http://127.0.0.1:{sock.getsockname()[1]} (Press CTRL+C to quit)"]
    with pytest.raises(ConfigError, match=r"^bind: bind_socket\(\) makes one socket"):
        make(bind=["127.0.0.1:0", "[::1]:0"]).bind_socket()


def test_binds_take_the_place_of_host_and_port() -> None:
    assert make(port=1).settings().listen.binds == (Bind(port=1),)
    config = make(bind=[":1", "unix:x?mode=600"])
    assert config.settings().listen.binds == (Bind(host=None, port=1), Bind(uds="x", uds_mode=0o600))
    config.bind = None
    assert config.settings().listen.binds == (Bind(),)
    with pytest.raises(ConfigError, match=r"^uds: cannot be used together with bind$"):
        make(bind=":1", uds="x")


def test_config_can_be_pickled_for_another_process() -> None:
    config = pickle.loads(pickle.dumps(make(port=1)))
    assert (config.app, config.port) == ("main:app", 1)


def test_subclass_can_add_to_the_constructor() -> None:
    class Own(Config):
        def __init__(self, app: Any, **options: Any) -> None:
            super().__init__(app, port=1234, **options)

    assert Own("main:app", log_config=None).port == 1234


def test_package_offers_its_names_lazily() -> None:
    assert addax.Config is Config
    assert addax.config.LOGGING_CONFIG is LOGGING_CONFIG
    assert {"run", "main", "Config", "Server", "__version__"} <= set(dir(addax))
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        addax.nonsense  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute '_nonsense'"):
        addax._nonsense  # noqa: B018


def test_package_does_not_hide_what_a_submodule_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> None:
        raise ModuleNotFoundError("No module named 'uvloop'", name="uvloop")

    monkeypatch.setattr(addax, "import_module", import_module)
    with pytest.raises(ModuleNotFoundError, match="uvloop"):
        addax.something  # noqa: B018
