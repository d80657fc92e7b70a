"""Gunicorn's worker without Gunicorn's processes: settings, logs, signals."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn import glogging
from gunicorn.config import Config as GunicornConfig
from gunicorn.instrument.statsd import Statsd

import addax
from addax import _gunicorn_logs, _gunicorn_settings
from addax.asgi.exchange import HttpExchange
from addax.config.config import Config
from addax.core.errors import ConfigError, StartupError
from addax.core.types import Message, Receive, Scope, Send
from addax.observe.access import AccessLog
from addax.observe.atoms import Template
from addax.server.server import Server
from addax.workers import AddaxH11Worker, AddaxWorker

#: What a worker reads of Gunicorn's settings, with Gunicorn's defaults; the second half is not known to Gunicorn 23.
DEFAULTS: dict[str, Any] = {
    "keepalive": 2,
    "backlog": 2048,
    "graceful_timeout": 30,
    "forwarded_allow_ips": ["127.0.0.1", "::1"],
    "limit_request_line": 4094,
    "limit_request_fields": 100,
    "limit_request_field_size": 8190,
    "worker_connections": 1000,
    "proxy_protocol": "off",
    "is_ssl": None,
    "protocol": "http",
    "http_protocols": ["h1"],
    "http2_cleartext": "off",
    "asgi_lifespan": "auto",
    "root_path": "",
    "websocket_max_message_size": 16777216,
}
OF_27 = ("protocol", "http_protocols", "http2_cleartext", "asgi_lifespan", "root_path", "websocket_max_message_size")


def default_hook(config: Any, make: Callable[[], Any]) -> Any:
    return make()


class FakeSettings(SimpleNamespace):
    """Gunicorn's configuration as far as a worker reads it."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(**{**DEFAULTS, **changes})
        connections, hook = self.worker_connections, changes.get("ssl_context", default_hook)
        self.settings = {
            "worker_connections": SimpleNamespace(get=lambda: connections, default=1000),
            "ssl_context": SimpleNamespace(get=lambda: hook, default=default_hook),
        }


def read(max_requests: int = sys.maxsize, **changes: Any) -> dict[str, Any]:
    return _gunicorn_settings.read_settings(FakeSettings(**changes), max_requests)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Does nothing."""


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value", "option", "expected"),
    [
        ("keepalive", 75, "timeout_keep_alive", 75),
        ("keepalive", 0, "timeout_keep_alive", 0),
        ("backlog", 64, "backlog", 64),
        ("graceful_timeout", 30, "timeout_graceful_shutdown", 29.0),
        ("graceful_timeout", 2, "timeout_graceful_shutdown", 1.6),
        ("graceful_timeout", 0, "timeout_graceful_shutdown", 0),
        ("forwarded_allow_ips", ["*"], "forwarded_allow_ips", ["*", "unix:"]),
        ("forwarded_allow_ips", ["10.0.0.0/8", "::1"], "forwarded_allow_ips", ["10.0.0.0/8", "::1", "unix:"]),
        ("forwarded_allow_ips", [], "forwarded_allow_ips", []),
        ("limit_request_line", 200, "limit_request_line", 200),
        ("limit_request_line", 0, "limit_request_line", 65536),
        ("limit_request_fields", 7, "limit_header_count", 7),
        ("limit_request_fields", 0, "limit_header_count", 32768),
        ("limit_request_field_size", 8190, "limit_head_size", 65536),
        ("limit_request_field_size", 100000, "limit_head_size", 104100),
        ("limit_request_field_size", 100, "limit_head_size", 14298),
        ("limit_request_field_size", 0, "limit_head_size", 69636),
        ("worker_connections", 5, "limit_concurrency", 5),
        ("asgi_lifespan", "on", "lifespan", "on"),
        ("root_path", "/api", "root_path", "/api"),
        ("websocket_max_message_size", 1000, "ws_max_size", 1000),
        ("websocket_max_message_size", 0, "ws_max_size", sys.maxsize),
    ],
)
def test_setting_becomes_an_option(setting: str, value: Any, option: str, expected: Any) -> None:
    options = read(**{setting: value})
    assert options[option] == expected
    # And it is one that addax takes.
    made = Config(app, **options)
    assert getattr(made, option) == expected
    made.settings()


def test_defaults_leave_logging_and_processes_to_gunicorn() -> None:
    options = read()
    assert options["log_config"] is None
    assert options["workers"] == 1
    assert not {"limit_max_requests", "limit_concurrency", "ssl_certfile"} & options.keys()


def test_max_requests_has_its_jitter_already() -> None:
    assert read(max_requests=120)["limit_max_requests"] == 120


def test_settings_of_a_version_that_lacks_the_newest() -> None:
    settings = FakeSettings(proxy_protocol=False)
    for name in OF_27:
        delattr(settings, name)
    options = _gunicorn_settings.read_settings(settings, sys.maxsize)
    assert not {"lifespan", "root_path", "ws_max_size"} & options.keys()


def test_settings_of_the_gunicorn_that_is_installed() -> None:
    made = Config(app, **_gunicorn_settings.read_settings(GunicornConfig(), sys.maxsize))
    assert (made.timeout_keep_alive, made.limit_request_line) == (2, 4094)
    assert made.limit_concurrency is None


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("proxy_protocol", True),
        ("proxy_protocol", "v2"),
        ("protocol", "uwsgi"),
        ("http_protocols", ["h2", "h1"]),
        ("http2_cleartext", "upgrade"),
    ],
)
def test_setting_for_what_is_not_there_is_refused(setting: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read(**{setting: value})
    assert str(caught.value) == f"{setting}: {value!r} is not available in addax {addax.__version__} yet"


def test_tls_settings_are_handed_on() -> None:
    def hook(config: Any, make: Callable[[], Any]) -> Any:
        return config, make()

    files = {"certfile": "c.pem", "keyfile": "k.pem", "ca_certs": "ca.pem"}
    options = read(is_ssl=True, **files, cert_reqs=2, ciphers="AES", ssl_context=hook)
    assert options["ssl_certfile"] == "c.pem"
    assert options["ssl_keyfile"] == "k.pem"
    assert options["ssl_ca_certs"] == "ca.pem"
    assert options["ssl_cert_reqs"] == 2
    assert options["ssl_ciphers"] == "AES"
    config, made = options["ssl_context_factory"](None, lambda: "context")
    assert isinstance(config, FakeSettings)
    assert made == "context"
    without = read(is_ssl=True, **files, cert_reqs=0, ciphers=None)
    assert "ssl_context_factory" not in without
    with pytest.raises(ConfigError) as caught:
        Config(app, **without).load_tls()
    assert _gunicorn_settings.explain(caught.value, {}).startswith("certfile: 'c.pem' cannot be read: No such file")


def test_own_options_go_before_settings() -> None:
    merged = _gunicorn_settings.merge({"a": 1, "limit_head_size": 2}, {"limit_head_size": 3, "loop": "asyncio"})
    assert merged == {"a": 1, "limit_head_size": 3, "loop": "asyncio"}
    own = {"h11_max_incomplete_event_size": 5}
    assert _gunicorn_settings.merge({"limit_head_size": 2}, own) == own
    with pytest.raises(ConfigError, match=r"^CONFIG_KWARGS: addax has no option 'colour'$"):
        _gunicorn_settings.merge({}, {"colour": 1})


def test_error_names_what_the_user_has_written() -> None:
    error = ConfigError("backlog", "0 is not 1 or more")
    assert _gunicorn_settings.explain(error, {}) == "backlog: 0 is not 1 or more"
    assert _gunicorn_settings.explain(error, {"backlog": 0}) == "CONFIG_KWARGS: backlog: 0 is not 1 or more"
    error = ConfigError("timeout_keep_alive", "no")
    assert _gunicorn_settings.explain(error, {}) == "keepalive: no"


# --- logs -------------------------------------------------------------------------------------------------------------


class Keep(logging.Handler):
    """Keeps records and their texts."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.texts.append(self.format(record))


@pytest.fixture
def kept() -> Iterator[Keep]:
    """What Gunicorn's loggers would write; all loggers are as before afterwards."""
    names = ("gunicorn.error", "gunicorn.access", "addax", "addax.access", "addax.error")
    loggers = [logging.getLogger(name) for name in names]
    before = [(log, log.handlers, log.level, log.propagate) for log in loggers]
    keep = Keep()
    for log in loggers[:2]:
        log.handlers, log.propagate = [keep], False
        log.setLevel(logging.INFO)
    yield keep
    for log, handlers, level, propagate in before:
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)


REQUEST = [
    (b"host", b"test"),
    (b"user-agent", b'say "hi"'),
    (b"authorization", b"Basic am9lOnNlY3JldA=="),
    (b"x-request-id", b"id-7"),
]


def log_exchange() -> None:
    exchange = HttpExchange(
        {
            "method": "GET",
            "path": "/a",
            "query_string": b"x=1",
            "http_version": "1.1",
            "scheme": "https",
            "client": ("127.0.0.1", 40524),
            "headers": REQUEST,
        }
    )
    exchange.status, exchange.bytes_sent = 404, 12
    exchange.response_headers = [(b"server", b"mine")]
    exchange.started_at, exchange.ended_at = 100.0, 101.5
    log = AccessLog()
    assert log.is_enabled()
    log.record(exchange)


LINE_FORMAT = (
    '%(h)s "%(r)s" %(s)s %(B)d %(D)10s %(M)d %(L)s %({X-Request-ID}i)s %({server}o)s %({remote_port}e)s %(zz)s'
)


def test_access_line_has_gunicorns_format_and_goes_to_its_logger(kept: Keep) -> None:
    lines = _gunicorn_logs.AccessLines(logging.getLogger("gunicorn.access"), LINE_FORMAT)
    assert lines.unknown_atoms() == ["zz"]
    _gunicorn_logs.connect(logging.getLogger("gunicorn.error"), lines)
    log_exchange()
    assert kept.texts == ['127.0.0.1 "GET /a?x=1 HTTP/1.1" 404 12    1500000 1500 1.500000 id-7 mine 40524 -']
    (record,) = kept.records
    assert record.name == "gunicorn.access"
    # What formatters of users look at: the atoms, as with Gunicorn's own workers, and addax's attributes.
    assert isinstance(record.args, dict) or hasattr(record.args, "items")
    atoms: Any = record.args
    assert atoms["U"] == "/a"
    assert atoms.get("T") == 1
    assert dict(atoms)["m"] == "GET"
    assert len(atoms) == len(list(atoms))
    assert record.__dict__["duration_s"] == 1.5


def test_access_record_of_somebody_else_is_left_alone(kept: Keep) -> None:
    lines = _gunicorn_logs.AccessLines(logging.getLogger("gunicorn.access"), "%(h)s")
    _gunicorn_logs.connect(logging.getLogger("gunicorn.error"), lines)
    logging.getLogger("addax.access").info("just %s", "so")
    assert kept.texts == ["just so"]


def test_access_line_is_not_written_above_the_level_of_gunicorns_logger(kept: Keep) -> None:
    target = logging.getLogger("gunicorn.access")
    _gunicorn_logs.connect(logging.getLogger("gunicorn.error"), _gunicorn_logs.AccessLines(target, "%(h)s"))
    target.setLevel(logging.WARNING)
    log_exchange()
    assert kept.texts == []


@pytest.mark.parametrize("line_format", ["%(h)s %q", "%(L)f", "%(h", "100%"])
def test_access_format_with_which_no_line_can_be_made_is_refused(line_format: str) -> None:
    with pytest.raises(ConfigError, match=r"^access_log_format: no line can be made with"):
        _gunicorn_logs.AccessLines(logging.getLogger("gunicorn.access"), line_format)


def test_server_lines_go_to_gunicorns_logger_from_its_level_on(kept: Keep) -> None:
    error_log = logging.getLogger("gunicorn.error")
    error_log.setLevel(logging.WARNING)
    _gunicorn_logs.connect(error_log, None)
    logging.getLogger("addax.error").info("quiet")
    logging.getLogger("addax.error").warning("loud")
    assert kept.texts == ["loud"]
    assert kept.records[0].name == "addax.error"
    assert not AccessLog().is_enabled()


@pytest.mark.parametrize(
    ("atom", "expected"),
    [
        ("{REMOTE_PORT}e", "40524"),
        ("{RAW_URI}e", "/a?x=1"),
        ("{CONTENT_TYPE}e", "-"),
        ("{content_length}e", "-"),
        ("{http_host}e", "test"),
    ],
)
def test_variables_of_gunicorns_environ(kept: Keep, atom: str, expected: str) -> None:
    lines = _gunicorn_logs.AccessLines(logging.getLogger("gunicorn.access"), "%(h)s")
    _gunicorn_logs.connect(logging.getLogger("gunicorn.error"), lines)
    log_exchange()
    (record,) = kept.records
    assert record.args[atom] == expected  # type: ignore[index, call-overload]
    record.args = ("127.0.0.1:40524", "GET", "/a?x=1", "1.1", 404)
    assert Template(f"%({atom})s").render(record) == expected


# --- the worker -------------------------------------------------------------------------------------------------------


class FakeApplication:
    """Gunicorn's application object."""

    def __init__(self, load: Callable[[], Any] = lambda: app) -> None:
        self.wsgi = load


class OwnLogger(glogging.Logger):  # type: ignore[misc]  # Gunicorn has no types
    """A logger class of a user, with an access of its own."""

    calls: list[tuple[Any, Any, Any, timedelta]]

    def access(self, resp: Any, req: Any, environ: Any, request_time: timedelta) -> None:
        if "raise" in environ["PATH_INFO"]:
            raise OSError
        self.calls.append((resp, req, environ, request_time))


Make = Callable[..., AddaxWorker]


@pytest.fixture
def make(kept: Keep) -> Iterator[Make]:
    """Make a worker; Gunicorn's logger writes into ``kept``."""
    made: list[AddaxWorker] = []

    def make(
        kind: type[AddaxWorker] = AddaxWorker,
        load: Callable[[], Any] = lambda: app,
        logger: type[glogging.Logger] = glogging.Logger,
        **settings: Any,
    ) -> AddaxWorker:
        cfg = GunicornConfig()
        for name, value in settings.items():
            cfg.set(name, value)
        log = logger(cfg)
        for gunicorns in (log.error_log, log.access_log):
            for handler in set(gunicorns.handlers) - {kept}:
                handler.close()
            gunicorns.handlers = [kept]
        made.append(kind(1, os.getppid(), [SimpleNamespace(sock=None)], FakeApplication(load), 0.5, cfg, log))
        return made[-1]

    yield make
    for worker in made:
        worker.tmp.close()


@pytest.fixture
def _signals() -> Iterator[None]:
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_access_log_is_off_unless_gunicorns_is_on(make: Make) -> None:
    worker = make()
    worker.load_wsgi()
    assert worker.wsgi is app
    assert logging.getLogger("addax.access").handlers == []
    assert worker._make_config().access_log is False


@pytest.mark.parametrize(
    "settings",
    [{"accesslog": "-"}, {"logconfig_dict": {"version": 1}}, {"syslog": True, "syslog_addr": "udp://127.0.0.1:9"}],
)
def test_access_log_is_on_when_gunicorns_is(make: Make, kept: Keep, settings: dict[str, Any]) -> None:
    worker = make(access_log_format="%(m)s %(oops)s", **settings)
    worker.load_wsgi()
    assert worker._make_config().access_log is True
    log_exchange()
    assert kept.texts == ["access_log_format: there is no atom %(oops)s, a dash stands in its place", "GET -"]


def test_access_of_an_own_logger_class_is_called(make: Make, kept: Keep, capsys: pytest.CaptureFixture[str]) -> None:
    OwnLogger.calls = []
    worker = make(logger=OwnLogger)
    worker.load_wsgi()
    log_exchange()
    ((response, request, environ, duration),) = OwnLogger.calls
    assert (response.status, response.status_code, response.sent) == ("404 Not Found", 404, 12)
    assert response.headers == [("server", "mine")]
    assert (request.method, request.uri, request.path, request.query) == ("GET", "/a?x=1", "/a", "x=1")
    assert request.version == (1, 1)
    assert ("X-REQUEST-ID", "id-7") in request.headers
    assert environ["HTTP_USER_AGENT"] == "say \\x22hi\\x22"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["wsgi.url_scheme"] == "https"
    assert duration == timedelta(seconds=1.5)
    # What Gunicorn's own methods need.
    worker.cfg.set("accesslog", "-")
    base = glogging.Logger(worker.cfg)
    base.access_log.handlers = [kept]
    base.access(response, request, environ, duration)
    assert "127.0.0.1 - joe [" in kept.texts[0]
    assert kept.texts[0].endswith('] "GET /a?x=1 HTTP/1.1" 404 12 "-" "say \\x22hi\\x22"')
    # Somebody else's record, and a failure.
    access = logging.getLogger("addax.access")
    access.info("just so")
    access.info('%s - "%s %s HTTP/%s" %d', "1.1.1.1:1", "GET", "/raise", "1.1", 200)
    assert len(OwnLogger.calls) == 1
    assert "OSError" in capsys.readouterr().err


def test_statsd_logger_counts_requests(make: Make, kept: Keep) -> None:
    class Counting(Statsd):  # type: ignore[misc]  # Gunicorn has no types
        sent: list[str]

        def _sock_send(self, message: str) -> None:
            self.sent.append(message)

    Counting.sent = []
    worker = make(logger=Counting, accesslog="-", statsd_host="127.0.0.1:9")
    worker.log.sock.close()
    worker.load_wsgi()
    log_exchange()
    assert Counting.sent == [
        "gunicorn.request.duration:1500.0|ms",
        "gunicorn.requests:1|c|@1.0",
        "gunicorn.request.status.404:1|c|@1.0",
    ]
    assert '"GET /a?x=1 HTTP/1.1" 404 12' in kept.texts[0]


def test_h11_worker_needs_nothing_compiled(make: Make) -> None:
    worker = make(AddaxH11Worker)
    worker.load_wsgi()
    made = worker._make_config()
    assert (made.loop, made.http) == ("asyncio", "h11")
    assert isinstance(worker, AddaxWorker)


@pytest.mark.usefixtures("_signals")
@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"colour": 1}, "CONFIG_KWARGS: addax has no option 'colour'"),
        ({"loop": "snail"}, "CONFIG_KWARGS: loop: 'snail' is not "),
    ],
)
def test_option_that_cannot_be_used_ends_with_a_boot_error(
    make: Make, kept: Keep, options: dict[str, Any], line: str
) -> None:
    class Own(AddaxWorker):
        CONFIG_KWARGS = options

    worker = make(Own)
    worker.load_wsgi()
    with pytest.raises(SystemExit) as caught:
        worker.run()
    assert caught.value.code == 3
    assert kept.texts[0].startswith(line)


@pytest.mark.usefixtures("_signals")
def test_worker_without_a_socket_says_so(make: Make, kept: Keep) -> None:
    worker = make()
    worker.sockets = []
    with pytest.raises(SystemExit) as caught:
        worker.run()
    assert caught.value.code == 3
    assert kept.texts == ["bind: Gunicorn has given this worker no socket to listen on"]


def test_access_format_that_cannot_be_used_ends_with_a_boot_error(make: Make, kept: Keep) -> None:
    with pytest.raises(SystemExit) as caught:
        make(accesslog="-", access_log_format="100%").load_wsgi()
    assert caught.value.code == 3
    assert kept.texts[0].startswith("access_log_format: no line can be made with '100%': ")


class FakeReloader:
    """Gunicorn's reloader."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.add_extra_file = self.files.append


def test_application_that_cannot_be_parsed_is_a_page_with_reload_only(make: Make) -> None:
    def load() -> Any:
        raise SyntaxError("no", ("app.py", 3, 1, "asink"))

    worker = make(load=load)
    with pytest.raises(SyntaxError):
        worker.load_wsgi()
    worker.reloader = reloader = FakeReloader()
    worker.load_wsgi()
    assert reloader.files == ["app.py"]
    sent: list[Message] = []

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(worker.wsgi({"type": "http"}, receive, send))
    assert sent[0]["status"] == 500
    assert b"SyntaxError" in sent[1]["body"]
    sent.clear()
    asyncio.run(worker.wsgi({"type": "lifespan"}, receive, send))
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


# --- signals and the heartbeat ----------------------------------------------------------------------------------------


@pytest.fixture
def serving(make: Make) -> AddaxWorker:
    """A worker that has a server."""
    worker = make()
    worker._server = Server(Config(app, log_config=None), handle_signals=False)
    return worker


def flags(worker: AddaxWorker) -> tuple[bool, bool, bool]:
    assert worker._server is not None
    stop = worker._server._stop
    return stop.is_asked, stop.is_urgent, stop.is_forced


def test_sigterm_stops_gracefully_however_often_it_comes(serving: AddaxWorker) -> None:
    for _ in range(3):
        serving.handle_exit(signal.SIGTERM, None)
        assert serving.alive is False
        assert flags(serving) == (True, False, False)


def test_sigterm_during_the_import_is_remembered(make: Make) -> None:
    worker = make()
    worker.handle_exit(signal.SIGTERM, None)
    assert worker.alive is False


def test_sigint_and_sigquit_are_in_a_hurry_and_tell_the_hook_once(serving: AddaxWorker) -> None:
    told: list[Any] = []
    serving.cfg.set("worker_int", told.append)
    serving.handle_quit(signal.SIGINT, None)
    serving.handle_quit(signal.SIGQUIT, None)
    assert flags(serving) == (True, True, False)
    assert told == [serving]


def test_sigquit_during_the_import_ends_at_once(make: Make) -> None:
    with pytest.raises(SystemExit) as caught:
        make().handle_quit(signal.SIGQUIT, None)
    assert caught.value.code == 0


def test_sigabrt_shows_all_stacks_and_tells_the_hook(serving: AddaxWorker, kept: Keep) -> None:
    told: list[Any] = []
    serving.cfg.set("worker_abort", told.append)
    with pytest.raises(SystemExit) as caught:
        serving.handle_abort(signal.SIGABRT, sys._getframe())
    assert caught.value.code == 1
    assert told == [serving]
    assert flags(serving) == (True, True, False)
    assert "test_sigabrt_shows_all_stacks" in kept.texts[0]


def test_sigusr1_reopens_files_outside_of_the_signal_handler(make: Make) -> None:
    worker = make()
    opened: list[str] = []
    worker.log.reopen_files = lambda: opened.append("again")
    worker.handle_usr1(signal.SIGUSR1, None)
    assert opened == ["again"]

    async def main() -> None:
        worker._loop = asyncio.get_running_loop()
        worker.handle_usr1(signal.SIGUSR1, None)
        assert opened == ["again"]
        await asyncio.sleep(0)
        assert opened == ["again", "again"]

    asyncio.run(main())


class FakeServer:
    """Notes how it is asked to stop."""

    def __init__(self, started: bool = True) -> None:
        self.started = started
        self.should_exit = False
        self.is_hurried = False

    def hurry(self) -> None:
        self.should_exit = self.is_hurried = True


@pytest.mark.parametrize(
    ("reload", "started", "is_hurried"), [(False, True, False), (True, True, True), (False, False, True)]
)
def test_worker_that_was_declared_dead_stops(make: Make, reload: bool, started: bool, is_hurried: bool) -> None:
    worker: Any = make(reload=reload)
    server = FakeServer(started)
    worker._follow_alive(server)
    assert not server.should_exit
    worker.alive = False
    worker._follow_alive(server)
    assert (server.should_exit, server.is_hurried) == (True, is_hurried)


@pytest.mark.parametrize(("timeout", "beats"), [(0.5, True), (0, False)])
def test_heartbeat_touches_the_file_unless_it_is_off(make: Make, timeout: float, beats: bool) -> None:
    worker: Any = make()
    worker.timeout = timeout
    os.utime(worker.tmp.fileno(), (0, 0))

    async def main() -> None:
        pulse = asyncio.ensure_future(worker._beat(FakeServer()))
        await asyncio.sleep(0)
        pulse.cancel()

    asyncio.run(main())
    assert (worker.tmp.last_update() > 0) is beats


def test_heartbeat_finds_that_the_arbiter_is_gone(make: Make, kept: Keep) -> None:
    worker: Any = make()
    worker.ppid = -1
    server = FakeServer()

    async def main() -> None:
        pulse = asyncio.ensure_future(worker._beat(server))
        await asyncio.sleep(0)
        pulse.cancel()

    asyncio.run(main())
    assert (server.should_exit, server.is_hurried) == (True, False)
    assert kept.texts[0].startswith("Parent changed, shutting down")


# --- how a run ends ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_signals")
@pytest.mark.parametrize(
    ("failure", "alive", "code"),
    [
        (StartupError("no"), True, 3),
        (StartupError("given up"), False, None),
        (RuntimeError("a bug"), True, 3),
        (ConfigError("--http", "no"), True, 3),
    ],
)
def test_failed_start_ends_with_a_boot_error(
    make: Make, monkeypatch: pytest.MonkeyPatch, failure: Exception, alive: bool, code: int | None
) -> None:
    worker: Any = make()
    worker.load_wsgi()

    async def live(server: Server, sockets: Any) -> None:
        worker.alive = alive
        raise failure

    monkeypatch.setattr(Server, "_live", live)
    worker.PIPE = os.pipe()
    try:
        if code is None:
            worker.run()
        else:
            with pytest.raises(SystemExit) as caught:
                worker.run()
            assert caught.value.code == code
    finally:
        for descriptor in worker.PIPE:
            os.close(descriptor)


@pytest.mark.usefixtures("_signals")
def test_worker_that_was_told_to_end_before_it_ran_does_not_serve(make: Make) -> None:
    worker: Any = make()
    worker.load_wsgi()
    worker.alive = False
    worker.run()
    assert not worker._server.started
    # Nothing that comes late is to end the process in another way.
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


@pytest.mark.usefixtures("_signals")
def test_worker_that_was_aborted_ends_with_1_even_if_an_application_caught_that(make: Make) -> None:
    worker: Any = make()
    worker.load_wsgi()
    worker.alive, worker._is_aborted = False, True
    with pytest.raises(SystemExit) as caught:
        worker.run()
    assert caught.value.code == 1


# --- without Gunicorn -------------------------------------------------------------------------------------------------


def test_without_gunicorn_the_module_says_what_to_install_and_addax_works() -> None:
    code = (
        "import sys; sys.modules['gunicorn'] = None; import addax; addax.Config, addax.Server\n"
        "try:\n    import addax.workers\nexcept ImportError as error:\n    print(error)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout == "addax.workers needs Gunicorn (try: pip install gunicorn)\n"
