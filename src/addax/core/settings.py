"""Frozen settings, one class for each consumer. Made by ``config.config.Config``, read by everybody below it.

The unit is part of the name: ``_s`` seconds, ``_bytes``, ``_count``. ``None`` means "no bound" where the type allows
it. Defaults here are the defaults of the option table (``config/options.py``); a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Http1Settings:
    """Bounds and habits of an HTTP/1.1 connection."""

    head_max_bytes: int = 65536
    request_line_max_bytes: int = 16384
    header_max_count: int = 256
    body_max_bytes: int | None = None
    #: Request body that waits for the application; above it reading pauses.
    body_buffer_bytes: int = 65536
    #: Bytes of pipelined requests that wait for the answer to the current one; above it reading pauses.
    pipeline_max_bytes: int = 65536
    #: Response bytes that wait for the client; above it ``await send()`` waits.
    write_buffer_bytes: int = 65536
    #: First byte and whole request head, from the moment the connection was made or the head began.
    head_timeout_s: float = 30.0
    #: Longest silence inside a request body.
    body_timeout_s: float = 60.0
    #: Longest time in which a client that has response bytes waiting takes none of them.
    write_timeout_s: float = 60.0
    keep_alive_timeout_s: float = 5.0
    #: Requests in progress in this worker; one more is answered 503.
    concurrency_max_count: int | None = None
    #: Field lines for every response (``--header``), names lower-cased; Date and Server are separate.
    extra_headers: tuple[tuple[bytes, bytes], ...] = ()
    server_header: bool = True
    date_header: bool = True
    root_path: str = ""
    #: Hosts that are served (``--allowed-host``); empty or with ``*``: all.
    allowed_hosts: tuple[str, ...] = ()
    #: Start every request in an empty ``contextvars.Context``.
    reset_contextvars: bool = False


@dataclass(frozen=True, slots=True)
class WebSocketSettings:
    """Bounds and habits of a WebSocket."""

    #: Largest message that is taken, decompressed.
    message_max_bytes: int = 16777216
    #: Largest frame that is taken, as it is on the wire; None: as a message.
    frame_max_bytes: int | None = None
    #: Messages that wait for the application; above it reading pauses.
    queue_max_count: int = 32
    #: Silence after which a ping is sent; None: none is.
    ping_interval_s: float | None = 20.0
    #: How long a pong may take; None: for ever.
    ping_timeout_s: float | None = 20.0
    #: Agree to compression (RFC 7692) when the client offers it.
    deflate: bool = True
    #: How long the peer may take to answer a close frame.
    close_timeout_s: float = 10.0
    #: How long the application may take to accept or refuse.
    handshake_timeout_s: float = 30.0
    #: How old a WebSocket may become; None: as old as it likes.
    lifetime_max_s: float | None = None
    #: Origins whose pages may connect; empty: all.
    allowed_origins: tuple[str, ...] = ()
    #: Messages count as requests for ``--limit-max-requests``.
    counts_messages: bool = False


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Whose word about the client is taken, and which words."""

    enabled: bool = True
    #: IP addresses, CIDR networks, literal names, ``unix:`` for peers on a Unix socket, or ``*``.
    trusted: tuple[str, ...] = ("127.0.0.1", "::1")
    #: Fields beyond X-Forwarded-For and X-Forwarded-Proto: any of host, port, prefix, forwarded.
    fields: frozenset[str] = frozenset()
    #: How many proxies a request comes through, the peer among them; None: that is found out by whom is trusted.
    hops_count: int | None = None
    #: Connections begin with a header of the PROXY protocol; others than those of trusted peers are closed.
    protocol: bool = False


@dataclass(frozen=True, slots=True)
class Bind:
    """One place to listen at. ``fd`` goes before ``uds``, and that before host and port."""

    #: A name or an address; None and ``::``: every interface, IPv4 and IPv6.
    host: str | None = "127.0.0.1"
    port: int = 8000
    uds: str | None = None
    #: Permission bits of the Unix socket file; None keeps an existing file's bits, else 0o666.
    uds_mode: int | None = None
    #: Who the file belongs to, by name or number; None: whom it belongs to anyway.
    uds_user: str | None = None
    uds_group: str | None = None
    #: A descriptor's number, or what systemd has passed: see ``net.activation``.
    fd: int | str | None = None
    #: Whether connections are encrypted; None: if there is a certificate.
    tls: bool | None = None

    @property
    def is_tcp(self) -> bool:
        """Whether host and port count."""
        return self.fd is None and self.uds is None

    @property
    def text(self) -> str:
        """The place as ``--bind`` takes it, for messages."""
        if self.fd is not None:
            return self.fd if isinstance(self.fd, str) else f"fd://{self.fd}"
        if self.uds is not None:
            return f"unix:{self.uds}"
        host = self.host or ""
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """Where to listen: at all of ``binds`` together, of which there is one at least."""

    binds: tuple[Bind, ...] = (Bind(),)
    backlog: int = 2048
    #: A socket for each worker, bound to the same address (``SO_REUSEPORT``).
    reuse_port: bool = False


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Certificates, and the rules of TLS."""

    #: Chain of certificates, the server's own first; PEM.
    certfile: str | None = None
    #: Private key; None: it is in the same file.
    keyfile: str | None = None
    #: Of the key; whoever shows the settings, in a traceback for example, is not to show this.
    password: str | None = field(default=None, repr=False)
    #: A protocol of Python's ssl module: 17 is TLS 1.2 and later, 5 is TLS 1.2 alone.
    version: int = 17
    #: Whether clients need a certificate: 0 no, 1 if they have one it must be good, 2 yes.
    cert_reqs: int = 0
    ca_certs: str | None = None
    #: For TLS 1.2, as OpenSSL writes them; None: those that RFC 9325 recommends.
    ciphers: str | None = None
    #: Certificates for other hosts, or other keys for the same: pairs of a chain and its key (None: in the same file).
    extra_certs: tuple[tuple[str, str | None], ...] = ()
    handshake_timeout_s: float = 10.0
    #: Handshakes in progress in a worker; for one more the oldest is given up.
    handshakes_max_count: int = 1024
    #: How long before its end a certificate is warned of.
    expiry_warning_days: int = 14
    #: Clear HTTP is sent to HTTPS.
    redirects: bool = False


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The life cycle of one serving process."""

    #: ``auto``, ``on`` or ``off``.
    lifespan: str = "auto"
    lifespan_startup_timeout_s: float | None = None
    lifespan_shutdown_timeout_s: float | None = 60.0
    #: How long requests in progress may go on after a stop was asked for; None: for ever, 0: not at all.
    graceful_timeout_s: float | None = 30.0
    #: How long after the stop running requests get ``http.disconnect`` from ``receive``.
    notice_timeout_s: float = 10.0
    #: How long connections are still accepted after a stop was asked for; the times above count from its end.
    shutdown_delay_s: float = 0.0
    requests_max_count: int | None = None
    requests_max_jitter_count: int = 0
    #: Resident memory above which the process ends or is replaced; None: no bound.
    memory_max_bytes: int | None = None
    #: Age at which the process ends or is replaced; None: no bound.
    lifetime_max_s: float | None = None
    notify_interval_s: float = 30.0
    #: How long the event loop may be blocked before that is logged; None: never logged.
    stall_s: float | None = 1.0


@dataclass(frozen=True, slots=True)
class SupervisorSettings:
    """The process that keeps serving processes alive."""

    workers_count: int = 1
    #: Import the application once, in a process that the workers are forked from.
    preload: bool = False
    #: How long a worker may take until it serves; None: for ever.
    startup_timeout_s: float | None = 600.0
    #: How long a worker's event loop may give no sign of life.
    health_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged per request."""

    access_log: bool = True
    #: Show ASGI messages (log level ``trace``).
    trace: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a serving process needs to know besides the application."""

    http1: Http1Settings = field(default_factory=Http1Settings)
    websocket: WebSocketSettings = field(default_factory=WebSocketSettings)
    proxy: ProxySettings = field(default_factory=ProxySettings)
    listen: ListenSettings = field(default_factory=ListenSettings)
    tls: TlsSettings = field(default_factory=TlsSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    supervisor: SupervisorSettings = field(default_factory=SupervisorSettings)
    log: LogSettings = field(default_factory=LogSettings)
    #: A name in ``registry.PARSERS``, or ``module:Class``.
    http: str = "auto"
    #: A name in ``registry.WEBSOCKETS``, ``none``, or ``module:Class``.
    ws: str = "auto"
    #: A name in ``registry.LOOPS``, ``none``, or ``module:factory``.
    loop: str = "auto"
