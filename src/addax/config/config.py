"""``Config``: the options of one server in code, under uvicorn's names and in its order, and what follows from them.

Embedders make one and hand it to ``Server``; ``addax.run`` and the command line do the same. Nothing here ends the
process: what is wrong raises ConfigError (an option) or StartupError (the world), and only ``run`` and the command line
turn these into exit codes.
"""

from __future__ import annotations

import functools
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from configparser import RawConfigParser
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from addax.asgi.lifespan import Lifespan
from addax.config import log_setup
from addax.config.binds import SHORTHANDS
from addax.config.checks import as_parameter, check, read, respell
from addax.config.env_file import load_env_file
from addax.config.interface import detect_interface
from addax.config.load_app import build_app, import_app
from addax.config.log_setup import LOGGING_CONFIG, TRACE_LOG_LEVEL
from addax.config.options import OPTIONS
from addax.core import registry
from addax.core.errors import ConfigError
from addax.core.settings import (
    Bind,
    Http1Settings,
    ListenSettings,
    LogSettings,
    ProxySettings,
    Settings,
    SupervisorSettings,
    TlsSettings,
    WebSocketSettings,
    WorkerSettings,
)
from addax.net import listen

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from ssl import SSLContext

    from addax.net.tls_material import ContextFactory, TlsMaterial

#: ``ssl.PROTOCOL_TLS_SERVER``, as a number: Python can be built without ssl.
SSL_PROTOCOL_VERSION = 17
#: The process exit code of a failed startup.
STARTUP_FAILURE = 3

_DEFAULT_TRUSTED = "127.0.0.1,::1"
_ASGI_VERSIONS = {"asgi2": "2.0", "asgi3": "3.0", "wsgi": "3.0"}

logger = logging.getLogger("addax.error")


@dataclass(repr=False, eq=False)
class Config:
    """Options of one server. ``docs/options.md`` explains each; numbers are checked here, before anything starts.

    Text is taken wherever the command line would take it: ``port="8000"`` is 8000. After construction every attribute
    holds its value in one form, lists included.

    Making a Config has side effects, which are uvicorn's:

    - ``app_dir`` is put in front of ``sys.path``;
    - logging is configured; with ``log_config=None`` nothing but levels is changed, and only if ``log_level`` is given;
    - ``env_file`` is loaded into ``os.environ``.

    After it, ``WEB_CONCURRENCY`` stands in for ``workers``, and ``FORWARDED_ALLOW_IPS`` for ``forwarded_allow_ips``.

    Args:
        app: the application, or where it is: ``"module:attribute"``.

    Raises:
        ConfigError: an option's value cannot be used; it is a ``ValueError`` too.
    """

    app: Callable[..., Any] | str
    host: str | None = "127.0.0.1"
    port: int = 8000
    uds: str | os.PathLike[str] | None = None
    fd: int | str | None = None
    loop: str = "auto"
    http: str = "auto"
    http2: bool = False
    ws: str = "auto"
    ws_max_size: int = 16 * 1024 * 1024
    ws_max_queue: int = 32
    ws_ping_interval: float | None = 20.0
    ws_ping_timeout: float | None = 20.0
    ws_per_message_deflate: bool = True
    lifespan: str = "auto"
    env_file: str | os.PathLike[str] | None = None
    log_config: dict[str, Any] | str | os.PathLike[str] | RawConfigParser | IO[Any] | None = field(
        default_factory=lambda: LOGGING_CONFIG
    )
    log_level: str | int | None = None
    access_log: bool = True
    use_colors: bool | None = None
    interface: str = "auto"
    reload: bool = False
    reload_dirs: Sequence[str | os.PathLike[str]] | str | None = None
    reload_delay: float = 0.25
    reload_includes: Sequence[str] | str | None = None
    reload_excludes: Sequence[str] | str | None = None
    workers: int | str | None = None
    proxy_headers: bool = True
    server_header: bool = True
    date_header: bool = True
    forwarded_allow_ips: Sequence[str] | str | None = None
    root_path: str = ""
    limit_concurrency: int | None = None
    limit_max_requests: int | None = None
    limit_max_requests_jitter: int = 0
    backlog: int = 2048
    timeout_keep_alive: float = 5
    timeout_notify: float = 30
    timeout_graceful_shutdown: float | None = 30
    timeout_worker_healthcheck: float = 30
    callback_notify: Callable[..., Awaitable[None]] | None = None
    ssl_keyfile: str | os.PathLike[str] | None = None
    ssl_certfile: str | os.PathLike[str] | None = None
    ssl_keyfile_password: str | None = None
    ssl_version: int = SSL_PROTOCOL_VERSION
    ssl_cert_reqs: int = 0
    ssl_ca_certs: str | os.PathLike[str] | None = None
    ssl_ciphers: str | None = None
    ssl_context_factory: Callable[[Config, Callable[[], SSLContext]], SSLContext] | None = None
    headers: Sequence[tuple[str, str]] | None = None
    factory: bool = False
    h11_max_incomplete_event_size: int | None = None
    reset_contextvars: bool = False
    _: KW_ONLY
    app_dir: str | os.PathLike[str] | None = None
    bind: Sequence[str] | str | None = None
    uds_mode: str | int | None = None
    limit_request_line: int = 16384
    limit_head_size: int = 65536
    limit_header_count: int = 256
    limit_body_size: int | None = None
    limit_body_buffer: int = 65536
    limit_pipeline_size: int = 65536
    limit_write_buffer: int = 65536
    timeout_head: float = 30
    timeout_body: float = 60
    timeout_write: float = 60
    timeout_shutdown_notice: float = 10
    timeout_shutdown_delay: float = 0
    timeout_lifespan_startup: float | None = None
    timeout_lifespan_shutdown: float | None = 60
    forwarded_fields: Sequence[str] | str | None = None
    forwarded_hops: int | None = None
    proxy_protocol: bool = False
    log_format: str = "text"
    access_format: str = "uvicorn"
    ws_max_frame_size: int | None = None
    ws_handshake_timeout: float = 30
    ws_close_timeout: float = 10
    ws_max_lifetime: float | None = None
    ws_allowed_origins: Sequence[str] | str | None = None
    allowed_hosts: Sequence[str] | str | None = None
    limit_max_requests_ws: bool = False
    supervise: bool = False
    preload: bool = False
    reuse_port: bool = False
    limit_max_memory: int | str | None = None
    limit_worker_lifetime: float | None = None
    timeout_worker_startup: float | None = 600
    timeout_worker_stall: float | None = 1
    hooks: str | os.PathLike[str] | None = None
    pid_file: str | os.PathLike[str] | None = None
    process_title: str | None = None
    user: str | None = None
    group: str | None = None
    ssl_extra_certs: Sequence[str | tuple[str, str | None]] | str | None = None
    ssl_handshake_timeout: float = 10
    ssl_max_handshakes: int = 1024
    ssl_expiry_warning: int = 14
    http_redirect: bool = False

    #: Whether ``load`` was called; what follows it is set by ``load``.
    loaded: bool = field(init=False, default=False)
    #: The application as ASGI 3, adapted and wrapped.
    loaded_app: Any = field(init=False, default=None)
    http_protocol_class: Any = field(init=False, default=None)
    ws_protocol_class: Any = field(init=False, default=None)
    #: Called with a Config it gives the ``Lifespan`` of its application.
    lifespan_class: Callable[[Config], Lifespan] | None = field(init=False, default=None)
    #: For clients that name no host, or one that no other certificate is for.
    ssl: SSLContext | None = field(init=False, default=None)
    _tls: TlsMaterial | None = field(init=False, default=None)
    encoded_headers: list[tuple[bytes, bytes]] = field(init=False, default_factory=list)
    reload_dirs_excludes: list[Path] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._take(check({option.name: getattr(self, option.name) for option in OPTIONS}, counts_defaults=False))
        self.reload_dirs = [Path(directory) for directory in self.reload_dirs or ()]
        if self.app_dir is not None:
            sys.path.insert(0, os.fspath(self.app_dir))
        if self.log_config is not None or self.log_level is not None:
            self.configure_logging()
        if (self.reload_dirs or self.reload_includes or self.reload_excludes) and not self.should_reload:
            logger.warning(
                "Current configuration will not reload as not all conditions are met, please refer to documentation."
            )
        if self.env_file is not None:
            load_env_file(os.fspath(self.env_file))
        if self.workers is None:
            self.workers = _from_variable("workers", "WEB_CONCURRENCY", os.environ.get("WEB_CONCURRENCY") or "1")
        if self.forwarded_allow_ips is None:
            # Set but empty means nobody.
            trusted = os.environ.get("FORWARDED_ALLOW_IPS", _DEFAULT_TRUSTED)
            self.forwarded_allow_ips = _from_variable("forwarded_allow_ips", "FORWARDED_ALLOW_IPS", trusted)

    def _take(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            setattr(self, name, value)

    # --- Facts --------------------------------------------------------------------------------------------------------

    @property
    def asgi_version(self) -> str:
        """Version of ASGI that the application is called with: ``2.0`` or ``3.0``; known after ``load``."""
        return _ASGI_VERSIONS[self.interface]

    @property
    def is_ssl(self) -> bool:
        """Whether connections are encrypted."""
        return bool(self.ssl_keyfile or self.ssl_certfile or self.ssl_context_factory)

    @property
    def use_subprocess(self) -> bool:
        """Whether another process than this one serves."""
        assert not isinstance(self.workers, str)  # made a number by ``check``
        return self.reload or self.supervise or (self.workers or 1) > 1

    @property
    def should_reload(self) -> bool:
        """Whether the application is reloaded when its files change; only one named by a string can be."""
        return isinstance(self.app, str) and self.reload

    # --- Doing --------------------------------------------------------------------------------------------------------

    def configure_logging(self) -> None:
        """Set up Python's logging as ``log_config``, ``log_level`` and the formats say.

        Raises:
            ConfigError: the configuration cannot be used.
        """
        try:
            log_setup.configure_logging(
                self.log_config,
                self.log_level,
                self.use_colors,
                self.log_format,
                self.access_format,
                self.access_log,
            )
        except ConfigError as error:
            raise respell(error, as_parameter) from error

    def load_app(self) -> Any:
        """Import the application, without calling it if it is a factory.

        Raises:
            AppLoadError: it cannot be imported.
        """
        return import_app(self.app)

    def load(self) -> None:
        """Import the application, find out its interface, adapt and wrap it, and resolve what options name.

        Does nothing when it was called already. ``loaded_app`` is the result.

        Raises:
            AppLoadError: the application cannot be imported or built, or is no ASGI application.
            ConfigError: the parser or an adapter is not installed.
        """
        if self.loaded:
            return
        self.http_protocol_class = registry.resolve("http", self.http, registry.PARSERS)[1]
        if self.ws != "none":
            self.ws_protocol_class = registry.resolve("ws", self.ws, registry.WEBSOCKETS)[1]
        self.lifespan_class = _make_lifespan
        self.encoded_headers = self._encode_headers()
        if self._tls is None:
            self.load_tls()
        app = build_app(self.load_app(), self.app, self.factory)
        if self.interface == "auto":
            self.interface = detect_interface(app)
        self.loaded_app = self._wrap(app)
        self.loaded = True

    def load_tls(self) -> TlsMaterial | None:
        """Read certificates and keys as they are now; ``ssl`` is the result. Does nothing without a certificate.

        Raises:
            ConfigError: one of the files, or something else about TLS, cannot be used; what was read before stays.
        """
        if not self.is_ssl:
            return None
        try:
            from addax.net import tls_material
        except ImportError as error:
            raise ConfigError("ssl_certfile", f"this Python cannot encrypt: {error}") from error
        factory: ContextFactory | None = None
        if self.ssl_context_factory is not None:
            factory = functools.partial(self.ssl_context_factory, self)
        self._tls = tls_material.load(self.settings().tls, factory)
        self.ssl = self._tls.context
        return self._tls

    @property
    def tls_material(self) -> TlsMaterial | None:
        """What ``load`` has read, or what somebody has put into ``ssl`` since; None: connections are not encrypted."""
        if self.ssl is None:
            return None
        if self._tls is None or self._tls.context is not self.ssl:
            from addax.net.tls_material import TlsMaterial

            self._tls = TlsMaterial(self.ssl)
        return self._tls

    def _wrap(self, app: Any) -> Any:
        if self.interface == "wsgi":
            from addax.asgi.adapters.wsgi import wsgi_adapter

            app = wsgi_adapter(app)
        elif self.interface == "asgi2":
            from addax.asgi.adapters.asgi2 import Asgi2Adapter

            app = Asgi2Adapter(app)
        if _is_tracing():
            from addax.asgi.message_log import MessageLog

            app = MessageLog(app)
        return app

    def _encode_headers(self) -> list[tuple[bytes, bytes]]:
        http1 = self.settings().http1
        return [(b"server", b"addax")] * http1.server_header + list(http1.extra_headers)

    def get_loop_factory(self) -> Callable[[], AbstractEventLoop] | None:
        """What makes the event loop; None: asyncio's default.

        Raises:
            ConfigError: the loop is not installed, or the import string leads nowhere.
        """
        if self.loop == "none":
            return None
        factory: Callable[[], AbstractEventLoop] = registry.resolve("loop", self.loop, registry.LOOPS)[1]
        return factory

    def setup_event_loop(self) -> None:
        """Gone, as in uvicorn.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(
            "Config.setup_event_loop() does not exist any more: pass Config.get_loop_factory() to asyncio.Runner, "
            "or use addax.run() or Server.run()"
        )

    def bind_socket(self) -> socket.socket:
        """Bind and listen on the one address that the options name, and log it; for ``Server.run(sockets=[…])``.

        A host that means several addresses is bound at the first of them. The caller removes a Unix socket's file.

        Raises:
            StartupError: the address cannot be had.
            ConfigError: there are several binds.
        """
        settings = self.settings().listen
        if len(settings.binds) > 1:
            raise ConfigError("bind", "bind_socket() makes one socket, and several places to listen at were given")
        (targets,) = listen.resolve(settings)
        listener = listen.open_listener(settings, [targets[:1]])
        (sock,) = listener.sockets
        kind, where = listen.describe(settings.binds[0], listener.addresses, "https" if self.is_ssl else "http")
        logger.info("Addax running on %s%s (Press CTRL+C to quit)", kind, where)
        sock.set_inheritable(True)
        return sock

    # --- For the floors below -----------------------------------------------------------------------------------------

    def settings(self) -> Settings:
        """The options as the rest of addax reads them; made from the attributes as they are now.

        Raises:
            ConfigError: an attribute was changed to a value that cannot be used.
        """
        sections = ("", "http1", "websocket", "proxy", "listen", "tls", "worker", "supervisor", "log")
        parts: dict[str, dict[str, Any]] = {section: {} for section in sections}
        for option in OPTIONS:
            if option.setting:
                section, _, name = option.setting.rpartition(".")
                parts[section][name] = option.to_setting(read(option.name, getattr(self, option.name)))
        http1, proxy = parts["http1"], parts["proxy"]
        _adjust_http1(http1, self.h11_max_incomplete_event_size)
        if self.interface == "wsgi":
            # What a WSGI application has no word for.
            parts[""]["ws"] = "none"
        proxy["fields"] = frozenset(proxy["fields"])
        if not parts["listen"]["binds"]:
            parts["listen"]["binds"] = (Bind(**{name: read(name, getattr(self, name)) for name in SHORTHANDS}),)
        return Settings(
            http1=Http1Settings(**http1),
            websocket=WebSocketSettings(**parts["websocket"]),
            proxy=ProxySettings(**proxy),
            listen=ListenSettings(**parts["listen"]),
            tls=TlsSettings(**parts["tls"]),
            worker=WorkerSettings(**parts["worker"]),
            supervisor=SupervisorSettings(**parts["supervisor"]),
            log=LogSettings(**parts["log"], trace=_is_tracing()),
            **parts[""],
        )


def _adjust_http1(http1: dict[str, Any], head_max_bytes: int | None) -> None:
    """What follows from several options together."""
    if head_max_bytes is not None:
        http1["head_max_bytes"] = head_max_bytes
    # A request line is part of the head: with a small head the smaller bound is the true one.
    http1["request_line_max_bytes"] = min(http1["request_line_max_bytes"], http1["head_max_bytes"])
    own = {name for name, _ in http1["extra_headers"]}
    http1["server_header"] = http1["server_header"] and b"server" not in own
    http1["date_header"] = http1["date_header"] and b"date" not in own


def _from_variable(name: str, variable: str, text: str) -> Any:
    """Read an option's value that came from a variable which other servers know as well.

    Raises:
        ConfigError: its value cannot be used; the message names the variable.
    """
    try:
        return check({name: text})[name]
    except ConfigError as error:
        raise ConfigError(variable, error.reason) from error


def _make_lifespan(config: Config) -> Lifespan:
    worker = config.settings().worker
    return Lifespan(
        config.loaded_app, worker.lifespan, worker.lifespan_startup_timeout_s, worker.lifespan_shutdown_timeout_s
    )


def _is_tracing() -> bool:
    return logging.getLogger("addax.asgi").isEnabledFor(TRACE_LOG_LEVEL)
