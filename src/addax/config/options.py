"""THE table of options. Command line, environment variables, ``Config`` and ``docs/options.md`` are made from it.

A row is all that addax knows about an option: its name, what its value can be, its default, where in
``core.settings.Settings`` it goes, and how it is explained. To add an option, add a row here and a field to
``config.config.Config`` (so that editors and type checkers see it); a test fails while the two differ.
``checks`` reads values by this table, ``addax.cli`` makes a command of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from addax.config.binds import BindPlace
from addax.config.kinds import (
    Boolean,
    CallableObject,
    Choice,
    ExistingDirectory,
    ExistingFile,
    Inherited,
    Kind,
    LogConfig,
    LogLevel,
    Seconds,
    Size,
    Text,
    Whole,
    WorkerCount,
)
from addax.config.log_setup import LOG_FORMATS, LOG_LEVELS
from addax.config.texts import (
    AccessFormat,
    CertificatePair,
    FieldLine,
    HostName,
    HostPattern,
    Mode,
    OriginPattern,
    RootPath,
    SocketPath,
    TrustedPeers,
)
from addax.core.registry import LOOPS, PARSERS, WEBSOCKETS

#: Environment variables: this, and the option's name in capitals.
ENV_PREFIX = "ADDAX_"
#: The application itself, where the command line names none.
APP_VARIABLE = "ADDAX_APP"

APPLICATION = "Application"
LISTENING = "Listening"
PROTOCOLS = "Event loop and parser"
BOUNDS = "Bounds"
TIMEOUTS = "Timeouts"
RESPONSES = "Responses"
PROXIES = "Behind a proxy"
LOGGING = "Logging"
PROCESSES = "Processes"
RELOADING = "Reloading"
WEBSOCKET = "WebSocket"
TLS = "TLS"
EMBEDDING = "Embedding (from code only)"
#: Headings of ``--help`` and of the documentation, in this order.
GROUPS = (
    APPLICATION,
    LISTENING,
    PROTOCOLS,
    BOUNDS,
    TIMEOUTS,
    RESPONSES,
    PROXIES,
    LOGGING,
    PROCESSES,
    RELOADING,
    WEBSOCKET,
    TLS,
    EMBEDDING,
)

#: uvicorn takes a protocol class here; addax takes what only cuts bytes into messages.
_PARSER_MISFIT = (
    "takes a name or an import string 'module:Class' of a parser class (addax.http1.parser.Parser); "
    "asyncio protocol classes of other servers do not fit"
)
#: The same for WebSockets.
_CODEC_MISFIT = (
    "takes a name or an import string 'module:Class' of a codec class (addax.websocket.codec.Codec); "
    "asyncio protocol classes of other servers do not fit"
)


@dataclass(frozen=True)
class Option:
    """One row of the table.

    Attributes:
        name: the parameter of ``Config`` and ``run``.
        kind: what its value can be.
        default: used when nobody gives a value.
        group: heading under which it is explained.
        help: one or two sentences, without the default.
        setting: where its value goes in ``Settings``, ``section.field``; empty: not into them.
        spelling: the long flag where it is not made from the name (options given several times have a plural name).
        alias: another long flag that is the same.
        nullable: whether None is a value too (in text: ``none``, for numbers).
        shown_default: the default in words where the value itself does not say it.
        multiple: given several times on the command line, a list in code.
        in_cli: False for what only code can pass.
        is_new: not among uvicorn's options.
        ready: the values whose feature this version has; empty: all that ``kind`` shows.
    """

    name: str
    kind: Kind
    default: Any
    group: str
    help: str
    setting: str = ""
    spelling: str = ""
    alias: str = ""
    nullable: bool = False
    shown_default: str | None = None
    multiple: bool = False
    in_cli: bool = True
    is_new: bool = False
    ready: tuple[Any, ...] = ()

    @property
    def flag(self) -> str:
        """The long flag, for example ``--port``."""
        return self.spelling or "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable; empty for what only code can pass."""
        return ENV_PREFIX + self.name.upper() if self.in_cli else ""

    @property
    def default_text(self) -> str:
        """The default in words, with its unit; empty if there is none."""
        if self.shown_default is not None:
            return self.shown_default
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        if self.default is None or self.default in ("", ()):
            return ""
        return f"{self.default} {self.kind.unit}".strip()

    @property
    def takes_none(self) -> bool:
        """Whether the word ``none`` is a value on the command line."""
        return self.nullable and self.kind.none_is_text and self.in_cli

    def read(self, value: object) -> Any:
        """Check a value, wherever it came from, and bring it to its one form.

        Raises:
            ValueError: it cannot be used; the message is the reason.
        """
        if self.takes_none and isinstance(value, str) and value.strip().lower() == "none":
            value = None
        if self.multiple:
            return self._read_all(value)
        if value is None:
            if self.nullable:
                return None
            raise ValueError("None is not a value of this option")
        return self.kind.read(value)

    def _read_all(self, value: object) -> list[Any]:
        if value is None:
            return []
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise ValueError(f"{value!r} is not a list")
        return [self.kind.read(item) for item in value]

    @property
    def is_later(self) -> bool:
        """Whether this version has nothing but the option's default."""
        return bool(self.ready)

    def is_ready(self, value: Any) -> bool:
        """Whether this version has what a value, which was read, asks for."""
        if isinstance(self.kind, Choice) and not self.multiple and value in self.kind.later:
            return False
        return not self.ready or value in self.ready

    def to_setting(self, value: Any) -> Any:
        """A value that was read, as ``core.settings`` wants it."""
        if self.multiple:
            return tuple(self.kind.to_setting(item) for item in value)
        return None if value is None else self.kind.to_setting(value)


# One row in two or three lines reads better as a table than one argument a line.
# fmt: off
OPTIONS: tuple[Option, ...] = (
    # --- Application ------------------------------------------------------------------------------------------------
    Option("app_dir", ExistingDirectory(), None, APPLICATION,
           "Directory that is put in front of the module search path before the application is looked for.",
           nullable=True, shown_default="the current directory; from code none"),
    Option("factory", Boolean(), False, APPLICATION,
           "The name is that of a function without arguments that returns the application."),
    Option("interface", Choice(("auto", "asgi3", "asgi2", "wsgi")), "auto", APPLICATION,
           "What the application is. wsgi needs the extra addax[wsgi]."),
    Option("lifespan", Choice(("auto", "on", "off")), "auto", APPLICATION,
           "Whether the application is told of startup and shutdown: auto goes on if it does not know the events, "
           "on makes that a startup failure.",
           setting="worker.lifespan"),
    Option("env_file", ExistingFile(), None, APPLICATION,
           "File with environment variables for the application; variables that are set already keep their value. "
           "Needs python-dotenv.",
           nullable=True),
    Option("root_path", RootPath(), "", APPLICATION,
           "Path under which a proxy offers the application, without the slash at its end.",
           setting="http1.root_path"),
    Option("reset_contextvars", Boolean(), False, APPLICATION,
           "Call the application in an empty contextvars context for every request.",
           setting="http1.reset_contextvars"),
    # --- Listening --------------------------------------------------------------------------------------------------
    Option("bind", BindPlace(), (), LISTENING,
           "Where to listen, in place of the five options below. unix:path?mode=660&user=…&group=… says who may use "
           "the file and whose it is; :8000 and [::]:8000 are every interface, IPv4 and IPv6; systemd is as for --fd. "
           "?tls=off is a place without encryption where there is a certificate.",
           setting="listen.binds", multiple=True, shown_default="--host and --port", is_new=True),
    Option("host", HostName(), "127.0.0.1", LISTENING,
           "Name or address to listen on; 0.0.0.0 is every IPv4 interface, :: every IPv6 interface. None (from "
           "code) is every interface of both.",
           nullable=True),
    Option("port", Whole(0, 65535), 8000, LISTENING,
           "TCP port to listen on; 0 takes a free one and logs it."),
    Option("uds", SocketPath(), None, LISTENING,
           "Listen on a Unix socket at this path, not on host and port.", nullable=True),
    Option("uds_mode", Mode(), None, LISTENING,
           "Permission bits of the Unix socket's file.",
           nullable=True, shown_default="those of the file it replaces, else 666",
           is_new=True),
    Option("fd", Inherited(0), None, LISTENING,
           "Listen on a socket that this process inherited under this descriptor number, not on host and port; or on "
           "the sockets that systemd has passed (LISTEN_FDS), all of them or those of a name.",
           nullable=True),
    Option("backlog", Whole(1, unit="connections"), 2048, LISTENING,
           "How many connections the kernel may hold that were not yet accepted; the system may allow fewer.",
           setting="listen.backlog"),
    Option("allowed_hosts", HostPattern(), (), LISTENING,
           "Host that is served: a name, *.name for all below it, or an IP address; with a port, only at that one. "
           "Requests for others are answered 421.",
           setting="http1.allowed_hosts", spelling="--allowed-host", alias="--allowed-hosts", multiple=True,
           shown_default="all", is_new=True),
    # --- Event loop and parser --------------------------------------------------------------------------------------
    Option("loop", Choice(("auto", *LOOPS, "none"), later=("zuvloop",), target="module:factory"), "auto", PROTOCOLS,
           "Event loop: auto is uvloop where it is installed, else asyncio; none keeps what asyncio itself would "
           "make; a factory is a function without arguments.",
           setting="loop"),
    Option("http", Choice(("auto", *PARSERS), later=("zttp",), target="module:Class", misfit=_PARSER_MISFIT), "auto",
           PROTOCOLS,
           "HTTP/1.1 parser: auto is native where addax is compiled, else httptools where it is installed, else h11. "
           "They give the same answers.",
           setting="http"),
    Option("http2", Boolean(), False, PROTOCOLS,
           "Speak HTTP/2 as well.", ready=(False,)),
    # --- Bounds -----------------------------------------------------------------------------------------------------
    Option("limit_concurrency", Whole(1, unit="requests"), None, BOUNDS,
           "Requests in progress at a time; one more is answered 503 with Retry-After. Idle connections do not "
           "count.",
           setting="http1.concurrency_max_count", nullable=True, shown_default="no bound"),
    Option("limit_request_line", Size(), 16384, BOUNDS,
           "Longest request line; a longer one is answered 414.",
           setting="http1.request_line_max_bytes", is_new=True),
    Option("limit_head_size", Size(), 65536, BOUNDS,
           "Largest request head, request line and all field lines together; a larger one is answered 431.",
           setting="http1.head_max_bytes", is_new=True),
    Option("h11_max_incomplete_event_size", Size(), None, BOUNDS,
           "uvicorn's name for --limit-head-size; here it holds for every parser.", nullable=True),
    Option("limit_header_count", Whole(1, unit="field lines"), 256, BOUNDS,
           "Most field lines in a request head; more are answered 431.",
           setting="http1.header_max_count", is_new=True),
    Option("limit_body_size", Size(0), None, BOUNDS,
           "Largest request body; a larger one is answered 413.",
           setting="http1.body_max_bytes", nullable=True, shown_default="no bound", is_new=True),
    Option("limit_body_buffer", Size(), 65536, BOUNDS,
           "Request body that waits for the application; above it reading from the client pauses.",
           setting="http1.body_buffer_bytes", is_new=True),
    Option("limit_pipeline_size", Size(), 65536, BOUNDS,
           "Pipelined requests that wait for the answer to the one before; above it reading from the client "
           "pauses.",
           setting="http1.pipeline_max_bytes", is_new=True),
    Option("limit_write_buffer", Size(), 65536, BOUNDS,
           "Response that waits for the client; above it the application's send waits.",
           setting="http1.write_buffer_bytes", is_new=True),
    # --- Timeouts ---------------------------------------------------------------------------------------------------
    Option("timeout_head", Seconds(), 30, TIMEOUTS,
           "For the first byte and the whole head of a request; after it the answer is 408.",
           setting="http1.head_timeout_s", is_new=True),
    Option("timeout_body", Seconds(), 60, TIMEOUTS,
           "Longest silence of the client inside a request body.", setting="http1.body_timeout_s", is_new=True),
    Option("timeout_write", Seconds(), 60, TIMEOUTS,
           "Longest time in which the client takes nothing of a response that waits for it.",
           setting="http1.write_timeout_s", is_new=True),
    Option("timeout_keep_alive", Seconds(zero=True), 5, TIMEOUTS,
           "How long a connection stays open between requests.", setting="http1.keep_alive_timeout_s"),
    Option("timeout_graceful_shutdown", Seconds(zero=True), 30, TIMEOUTS,
           "After the signal to stop, how long requests in progress may go on before they are cancelled; none is "
           "for ever, 0 is not at all.",
           setting="worker.graceful_timeout_s", nullable=True),
    Option("timeout_shutdown_notice", Seconds(zero=True), 10, TIMEOUTS,
           "After the signal to stop, when requests still in progress receive http.disconnect.",
           setting="worker.notice_timeout_s", is_new=True),
    Option("timeout_shutdown_delay", Seconds(zero=True), 0, TIMEOUTS,
           "After the signal to stop, how long connections are still accepted, before everything else: for a load "
           "balancer to notice. Answers say connection: close meanwhile, and addax.shutdown is set.",
           setting="worker.shutdown_delay_s", is_new=True),
    Option("timeout_lifespan_startup", Seconds(), None, TIMEOUTS,
           "For the application's startup.",
           setting="worker.lifespan_startup_timeout_s", nullable=True, shown_default="no bound", is_new=True),
    Option("timeout_lifespan_shutdown", Seconds(), 60, TIMEOUTS,
           "For the application's shutdown.",
           setting="worker.lifespan_shutdown_timeout_s", nullable=True, is_new=True),
    # --- Responses --------------------------------------------------------------------------------------------------
    Option("server_header", Boolean("pair"), True, RESPONSES,
           "Send a Server field with every response.", setting="http1.server_header"),
    Option("date_header", Boolean("pair"), True, RESPONSES,
           "Send a Date field with every response.", setting="http1.date_header"),
    Option("headers", FieldLine(), (), RESPONSES,
           "Field line for every response; Server and Date take the place of ours.",
           setting="http1.extra_headers", spelling="--header", multiple=True),
    # --- Behind a proxy ---------------------------------------------------------------------------------------------
    Option("proxy_headers", Boolean("pair"), True, PROXIES,
           "Take the client's address and scheme from X-Forwarded-For and X-Forwarded-Proto of trusted peers.",
           setting="proxy.enabled"),
    Option("forwarded_allow_ips", TrustedPeers(), None, PROXIES,
           "Trusted peers, separated by commas: IP addresses, networks, unix: for every peer on a Unix socket, or "
           "* for everybody.",
           setting="proxy.trusted", nullable=True, shown_default="$FORWARDED_ALLOW_IPS, else 127.0.0.1,::1"),
    Option("forwarded_fields", Choice(("host", "port", "prefix", "forwarded")), (), PROXIES,
           "Also believe trusted peers' X-Forwarded-Host, -Port, -Prefix, or Forwarded (RFC 7239).",
           setting="proxy.fields", spelling="--forwarded-field", multiple=True, is_new=True),
    Option("forwarded_hops", Whole(1, 64), None, PROXIES,
           "How many proxies every request comes through: the client is that many entries from the right of "
           "X-Forwarded-For or Forwarded, and with fewer entries no field is believed. The peer has to be trusted "
           "still.",
           setting="proxy.hops_count", nullable=True, shown_default="not counted", is_new=True),
    Option("proxy_protocol", Boolean(), False, PROXIES,
           "Every connection begins with a header of the PROXY protocol, version 1 or 2, that says who the client is. "
           "Connections of peers that are not trusted are closed.",
           setting="proxy.protocol", is_new=True),
    # --- Logging ----------------------------------------------------------------------------------------------------
    Option("log_config", LogConfig(), None, LOGGING,
           "File that configures logging in place of the built-in configuration: .json, .yaml, .yml, .toml, else "
           "the ini format of logging.config. None (from code) leaves logging alone.",
           nullable=True, shown_default="built in"),
    Option("log_level", LogLevel(tuple(LOG_LEVELS)), None, LOGGING,
           "Lowest level that is logged; trace shows ASGI messages without bodies.",
           nullable=True, shown_default="that of the configuration; info if built in"),
    Option("log_format", Choice(LOG_FORMATS), "text", LOGGING,
           "Lines for people, or one JSON object a line.", is_new=True),
    Option("access_log", Boolean("pair"), True, LOGGING,
           "Log a line for each request when its response has ended.", setting="log.access_log"),
    Option("access_format", AccessFormat(("uvicorn", "json")), "uvicorn", LOGGING,
           "How an access line looks.", is_new=True),
    Option("use_colors", Boolean("pair"), None, LOGGING,
           "Colour the log's level names.", nullable=True, shown_default="on if the output is a terminal"),
    # --- Processes --------------------------------------------------------------------------------------------------
    Option("workers", WorkerCount(), None, PROCESSES,
           "Number of serving processes; auto is what cores, CPU quota and memory allow.",
           setting="supervisor.workers_count", nullable=True, shown_default="$WEB_CONCURRENCY, else 1"),
    Option("supervise", Boolean(), False, PROCESSES,
           "Keep a single serving process alive as several are: from a process that restarts, adds and upgrades them.",
           is_new=True),
    Option("preload", Boolean(), False, PROCESSES,
           "Import the application once, in a process that serving ones are forked from: they share its memory.",
           setting="supervisor.preload", is_new=True),
    Option("reuse_port", Boolean(), False, PROCESSES,
           "Give each serving process a socket of its own (SO_REUSEPORT): the kernel spreads connections by their "
           "addresses, not by who is free.",
           setting="listen.reuse_port", is_new=True),
    Option("limit_max_requests", Whole(1, unit="requests"), None, PROCESSES,
           "Replace the serving process after this many requests; without a supervisor it ends, gracefully.",
           setting="worker.requests_max_count", nullable=True, shown_default="no bound"),
    Option("limit_max_requests_jitter", Whole(0, unit="requests"), 0, PROCESSES,
           "Add a random number up to this one to --limit-max-requests, so that processes do not end together.",
           setting="worker.requests_max_jitter_count"),
    Option("limit_max_requests_ws", Boolean(), False, PROCESSES,
           "Count each message that a WebSocket receives as a request for --limit-max-requests.",
           setting="websocket.counts_messages", is_new=True),
    Option("limit_max_memory", Size(), None, PROCESSES,
           "Replace the serving process when its resident memory is larger; without a supervisor it ends.",
           setting="worker.memory_max_bytes", nullable=True, shown_default="no bound", is_new=True),
    Option("limit_worker_lifetime", Seconds(), None, PROCESSES,
           "Replace the serving process at this age; without a supervisor it ends.",
           setting="worker.lifetime_max_s", nullable=True, shown_default="no bound", is_new=True),
    Option("timeout_worker_startup", Seconds(), 600, PROCESSES,
           "With a supervisor: how long a serving process may take until it accepts connections.",
           setting="supervisor.startup_timeout_s", nullable=True, is_new=True),
    Option("timeout_worker_healthcheck", Seconds(), 30, PROCESSES,
           "With a supervisor: how long the event loop of a serving process may be blocked before it is replaced.",
           setting="supervisor.health_timeout_s"),
    Option("timeout_worker_stall", Seconds(), 1, PROCESSES,
           "With a supervisor: how long the event loop may be blocked before a line says by what.",
           setting="worker.stall_s", nullable=True, is_new=True),
    Option("hooks", Text("MODULE|FILE"), None, PROCESSES,
           "Python module, or file, with functions that are called when a process starts, serves and ends.",
           nullable=True, is_new=True),
    Option("pid_file", Text("FILE"), None, PROCESSES,
           "Write the process id of the supervisor, or of the only process, into this file.",
           nullable=True, is_new=True),
    Option("process_title", Text(), None, PROCESSES,
           "What ps shows in front of the role of a process. Needs setproctitle.",
           nullable=True, shown_default="addax", is_new=True),
    Option("user", Text("NAME|ID"), None, PROCESSES,
           "Become this user when the sockets are bound; takes root.", nullable=True, is_new=True),
    Option("group", Text("NAME|ID"), None, PROCESSES,
           "Become a member of this group when the sockets are bound; takes root.",
           nullable=True, shown_default="the user's", is_new=True),
    # --- Reloading --------------------------------------------------------------------------------------------------
    Option("reload", Boolean(), False, RELOADING,
           "Restart when a file of the application changes; one process serves."),
    Option("reload_dirs", ExistingDirectory(), (), RELOADING,
           "Directory to watch.", spelling="--reload-dir", multiple=True, shown_default="the current directory"),
    Option("reload_includes", Text("GLOB"), (), RELOADING,
           "Pattern of file names to watch, besides *.py.", spelling="--reload-include", multiple=True),
    Option("reload_excludes", Text("GLOB"), (), RELOADING,
           "Pattern of file names, or a directory, not to watch.", spelling="--reload-exclude", multiple=True),
    Option("reload_delay", Seconds(zero=True), 0.25, RELOADING,
           "Pause between two looks at the files."),
    # --- WebSocket --------------------------------------------------------------------------------------------------
    Option("ws", Choice(("auto", *WEBSOCKETS, "none"), target="module:Class", misfit=_CODEC_MISFIT), "auto", WEBSOCKET,
           "WebSocket implementation: auto and uvicorn's names are native, wsproto needs the extra addax[wsproto]; "
           "none serves who asks for a WebSocket as plain HTTP.",
           setting="ws"),
    Option("ws_max_size", Size(), 16777216, WEBSOCKET,
           "Largest message that is taken, after decompression; a larger one closes with 1009.",
           setting="websocket.message_max_bytes"),
    Option("ws_max_queue", Whole(1, unit="messages"), 32, WEBSOCKET,
           "Messages that wait for the application, or as many as --limit-body-buffer holds; above it reading from "
           "the client pauses.",
           setting="websocket.queue_max_count"),
    Option("ws_ping_interval", Seconds(zero=True), 20.0, WEBSOCKET,
           "Time between pings; none or 0 sends none.", setting="websocket.ping_interval_s", nullable=True),
    Option("ws_ping_timeout", Seconds(zero=True), 20.0, WEBSOCKET,
           "How long the client may give no sign of life after a ping before it is closed with 1011; none or 0 is for "
           "ever.",
           setting="websocket.ping_timeout_s", nullable=True),
    Option("ws_per_message_deflate", Boolean("value"), True, WEBSOCKET,
           "Compress messages (RFC 7692) where the client offers it.", setting="websocket.deflate"),
    Option("ws_max_frame_size", Size(), None, WEBSOCKET,
           "Largest frame that is taken, as it is on the wire; a larger one closes with 1009.",
           setting="websocket.frame_max_bytes", nullable=True, shown_default="as --ws-max-size", is_new=True),
    Option("ws_handshake_timeout", Seconds(), 30, WEBSOCKET,
           "How long the application may take to accept or refuse; after it the answer is 503.",
           setting="websocket.handshake_timeout_s", is_new=True),
    Option("ws_close_timeout", Seconds(), 10, WEBSOCKET,
           "How long the client may take to answer a close frame.",
           setting="websocket.close_timeout_s", is_new=True),
    Option("ws_max_lifetime", Seconds(), None, WEBSOCKET,
           "How old a WebSocket may become; then it is closed with 1001.",
           setting="websocket.lifetime_max_s", nullable=True, shown_default="no bound", is_new=True),
    Option("ws_allowed_origins", OriginPattern(), (), WEBSOCKET,
           "Origin whose pages may connect, as https://example.com or https://*.example.com; others are answered 403. "
           "Clients without Origin are no browsers, and let in.",
           setting="websocket.allowed_origins", spelling="--ws-allowed-origin", multiple=True, shown_default="all",
           is_new=True),
    # --- TLS --------------------------------------------------------------------------------------------------------
    Option("ssl_keyfile", Text("FILE"), None, TLS,
           "Private key, in PEM form.", setting="tls.keyfile", nullable=True,
           shown_default="in the file of --ssl-certfile"),
    Option("ssl_certfile", Text("FILE"), None, TLS,
           "Certificate of the server and those that lead to its authority, in PEM form. With it connections are "
           "encrypted. Files that change are read anew, and connections keep what they have.",
           setting="tls.certfile", nullable=True),
    Option("ssl_keyfile_password", Text(), None, TLS,
           "Password of the private key.", setting="tls.password", nullable=True),
    Option("ssl_version", Whole(0), 17, TLS,
           "Protocol number of Python's ssl module: 17 is TLS 1.2 and later, 5 is TLS 1.2 alone. Older ones are not "
           "secure, and refused.", setting="tls.version", shown_default="17, PROTOCOL_TLS_SERVER"),
    Option("ssl_cert_reqs", Whole(0, 2), 0, TLS,
           "Whether clients need a certificate: 0 no, 1 optional, 2 required.", setting="tls.cert_reqs"),
    Option("ssl_ca_certs", Text("FILE"), None, TLS,
           "Certificates of the authorities that clients' certificates must be from; clients are asked for one by "
           "--ssl-cert-reqs.",
           setting="tls.ca_certs", nullable=True),
    Option("ssl_ciphers", Text(), None, TLS,
           "Ciphers for TLS 1.2, as OpenSSL writes them.", setting="tls.ciphers", nullable=True,
           shown_default="forward secret ones with authentication"),
    Option("ssl_extra_certs", CertificatePair(), (), TLS,
           "One more certificate, and its key if that is in another file: for the hosts that it names, which clients "
           "ask for (SNI); or for the same hosts with a key of another kind.",
           setting="tls.extra_certs", spelling="--ssl-extra-cert", multiple=True, is_new=True),
    Option("ssl_handshake_timeout", Seconds(), 10, TLS,
           "How long a handshake may take, from the moment the connection was made.",
           setting="tls.handshake_timeout_s", is_new=True),
    Option("ssl_max_handshakes", Whole(1, unit="handshakes"), 1024, TLS,
           "How many handshakes may be in progress in a worker; for one more the oldest is given up.",
           setting="tls.handshakes_max_count", is_new=True),
    Option("ssl_expiry_warning", Whole(0, unit="days"), 14, TLS,
           "How long before a certificate expires to warn of it, each day; for one that is valid for a short time, a "
           "third of that at the most.",
           setting="tls.expiry_warning_days", is_new=True),
    Option("http_redirect", Boolean(), False, TLS,
           "Send clients that speak HTTP without TLS to HTTPS: on the same port, and on binds with ?tls=off.",
           setting="tls.redirects", is_new=True),
    # --- Embedding (from code only) ---------------------------------------------------------------------------------
    Option("ssl_context_factory", CallableObject(), None, EMBEDDING,
           "Called with the Config and a function that makes the context the options describe; returns the "
           "ssl.SSLContext.",
           nullable=True, in_cli=False),
    Option("callback_notify", CallableObject(), None, EMBEDDING,
           "Coroutine function that is called at intervals while the server runs.", nullable=True, in_cli=False),
    Option("timeout_notify", Seconds(), 30, EMBEDDING,
           "The interval of callback_notify.", setting="worker.notify_interval_s", in_cli=False),
)
# fmt: on

BY_NAME: dict[str, Option] = {option.name: option for option in OPTIONS}
