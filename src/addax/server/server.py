"""One serving process: start, serve, drain, stop.

Used by ``addax.run`` and the command line, by worker processes, and by programs that embed a server. Nothing here exits
the process or prints; whoever calls decides what a failed start means. The names of ``Server`` are those that embedders
of uvicorn use.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from addax.asgi.lifespan import Lifespan
from addax.asgi.state import ServerState, ShutdownNotice
from addax.core.errors import StartupError
from addax.core.settings import Settings
from addax.core.terminal import has_terminal
from addax.loops import running
from addax.net import listen
from addax.net.listen import Listener
from addax.net.tcp_socket import Target
from addax.server import accepting, banner, build, entrances, signals
from addax.server.announcing import Announcer
from addax.server.balancing import Balance
from addax.server.drain import Drain
from addax.server.embedding import EmbeddableServer
from addax.server.hooking import WorkerHooks
from addax.server.recycling import Limits
from addax.server.stopping import outlast_cancellation

if TYPE_CHECKING:
    from addax.config.config import Config
    from addax.net.tls_material import TlsMaterial
    from addax.net.tls_watch import TlsWatch

logger = logging.getLogger("addax.error")

#: How often ``on_tick`` is called, in seconds, where somebody wants it to be.
TICK_S = 0.1
_TICK_WRAP_COUNT = 864000


class Server(EmbeddableServer):
    """Serve one application.

    Subclasses may override ``startup``, ``main_loop``, ``on_tick``, ``shutdown``, ``capture_signals`` and
    ``handle_exit``, and may define ``install_signal_handlers``. With ``on_tick`` overridden or ``callback_notify``
    configured the server wakes up every ``TICK_S``; otherwise it sleeps until something happens.

    Args:
        config: what to serve, where and how.
        handle_signals: take SIGINT, SIGTERM (and SIGHUP, SIGBREAK) while serving in the main thread. All of them stop
            it, but SIGHUP reads certificates anew where there are some and no terminal is. With False the program
            around the server keeps its own handlers and sets ``should_exit``.
    """

    def __init__(self, config: Config, *, handle_signals: bool = True) -> None:
        super().__init__()
        self.config = config
        self.server_state = ServerState()
        self.lifespan: Lifespan | None = None
        #: The loop's servers, one for each address.
        self.servers: list[asyncio.AbstractServer] = []
        #: Called in place of a stop when the process has served enough, with the reason, perhaps several times.
        self.on_limit: Callable[[str], None] | None = None
        #: Spreads connections over processes that accept from the same sockets; set by ``worker``.
        self.make_balance: Callable[[], Balance] | None = None
        #: The user's, in this process; set by who makes the server for ``addax.run``.
        self.hooks: WorkerHooks | None = None
        #: How many sockets each bind has, of those that ``serve`` is given; empty: they are not those of the binds.
        self.socket_counts: Sequence[int] = ()
        #: Whether this process is the one of several that tells when certificates expire.
        self.tells_expiry = True
        #: Tells the service manager; likewise.
        self.announcer: Announcer | None = None
        self._limits: Limits | None = None
        #: When ``callback_notify`` was last called, in seconds since the epoch.
        self.last_notified = 0.0
        self._handles_signals = handle_signals
        self._captured_signals: list[int] = []
        self._settings: Settings = Settings()
        self._assembly: build.Assembly | None = None
        self._listener: Listener | None = None
        self._entrances: list[tuple[socket.socket, accepting.MakeProtocol]] = []
        self._tls_watch: TlsWatch | None = None

    @functools.cached_property
    def limit_max_requests(self) -> int | None:
        """After how many requests to stop, the jitter included; None: never."""
        limit = self.config.limit_max_requests
        if limit is None:
            return None
        return limit + random.randint(0, self.config.limit_max_requests_jitter)

    # ---- the whole life

    def run(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Serve in a new event loop until something asks for a stop.

        If the server could not start, that was logged, ``started`` is False and ``startup_error`` says why.

        Args:
            sockets: listen on these instead of what the config says.

        Raises:
            KeyboardInterrupt: after a graceful stop by SIGINT.
        """
        loop_factory = self.config.get_loop_factory()
        running.run(self.serve(sockets=sockets), loop_factory)

    async def serve(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Serve in the running event loop; otherwise as ``run``.

        Cancelling it stops the server: requests in progress get a second, the application's shutdown runs.
        """
        with self.capture_signals():
            await self._serve(sockets)

    async def _serve(self, sockets: Sequence[socket.socket] | None) -> None:
        failure: BaseException | None = None
        self._note_begin()
        try:
            await self._live(sockets)
        except BaseException as error:
            failure = error
            if self.started or not isinstance(error, StartupError):
                raise
        finally:
            self._note_end(failure)

    async def _live(self, sockets: Sequence[socket.socket] | None) -> None:
        self._stop.attach(asyncio.get_running_loop())
        if self.server_state.shutdown.is_set():
            # A second life of the same server.
            self.server_state.shutdown = ShutdownNotice()
            self.server_state.is_leaving = False
        self._load()
        logger.info("Started server process [%d]", os.getpid(), extra={"color_message": _PROCESS % "Started"})
        try:
            await self.startup(sockets=sockets)
            self._note_started()
            if self.hooks is not None and self.started:
                self.hooks.ready(self.addresses)
            if self.announcer is not None and self.started:
                self.announcer.started(self.server_state)
            if not self.should_exit:
                await self.main_loop()
        except GeneratorExit:
            # Thrown away together with its loop: nothing can be waited for any more.
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                self._stop.is_asked = self._stop.is_urgent = True
            await self._end_in_any_case(sockets)
            raise
        await self._end_in_any_case(sockets)

    async def _end_in_any_case(self, sockets: Sequence[socket.socket] | None) -> None:
        # In a task of its own: whatever happens to this one, the application is told to shut down.
        ending = asyncio.get_running_loop().create_task(self._end(sockets), name="addax shutdown")
        await outlast_cancellation(ending, self._stop)

    def _load(self) -> None:
        if not self.config.loaded:
            with _logged():
                self.config.load()
        self._settings = self.config.settings()
        assert self.config.lifespan_class is not None
        self.lifespan = self.config.lifespan_class(self.config)
        self.server_state.default_headers = list(self.config.encoded_headers)

    async def _end(self, sockets: Sequence[socket.socket] | None) -> None:
        if self.announcer is not None:
            self.announcer.stopping(self._settings.worker)
        try:
            if self.started:
                await self.shutdown(sockets=sockets)
        finally:
            # Again, because a subclass's shutdown may have left any of it out; what is done is not done twice.
            self._close_listeners()
            self._listener = None
            if self.lifespan is not None:
                await self.lifespan.shutdown()
            if self._tls_watch is not None:
                self._tls_watch.stop()
            if self._assembly is not None:
                self._assembly.close()
            if self.hooks is not None:
                await self.hooks.exit()
            if self.announcer is not None:
                self.announcer.ended()
        if self.started:
            logger.info("Finished server process [%d]", os.getpid(), extra={"color_message": _PROCESS % "Finished"})

    # ---- start

    def listen_on(self, listener: Listener) -> None:
        """Take what was bound before: for who gives up the rights to bind before the application starts."""
        self._listener = listener

    async def startup(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Start the application, then listen. If a stop is asked for meanwhile, do not listen any more.

        Args:
            sockets: listen on these instead of what the config says.

        Raises:
            StartupError: the application refused to start, or an address cannot be had; it was logged.
            ConfigError: two binds are the same address, or a file cannot be given to its owner.
        """
        targets: list[list[Target]] = []
        if sockets is None:
            self._warn_of_backlog()
        if sockets is None and self._listener is None:
            with _logged():
                targets = await self._resolve()
                # Before an application is started, perhaps for minutes, that could not be served anyway.
                listen.check_free(self._settings.listen, targets)
        await self._start_application()
        if self.should_exit:
            return
        if sockets is not None:
            self._listener = Listener(entrances.group(sockets, self.socket_counts, self._settings.listen.binds))
        elif self._listener is None:
            with _logged():
                self._listener = listen.open_listener(self._settings.listen, targets)
        await self._open_servers(self._listener)
        if sockets is None:
            # Not what the options say: somebody may have put a context into the config.
            scheme = "http" if self.config.tls_material is None else "https"
            banner.log_running(logger, self._settings.listen.binds, scheme, self._listener.bound)
        self.started = True

    def _warn_of_backlog(self) -> None:
        warning = listen.explain_backlog(self._settings.listen.backlog)
        if warning is not None:
            logger.warning("%s", warning)

    async def _resolve(self) -> list[list[Target]]:
        settings = self._settings.listen
        if listen.needs_lookup(settings):
            return await asyncio.get_running_loop().run_in_executor(None, listen.resolve, settings)
        return listen.resolve(settings)

    async def _start_application(self) -> None:
        """Wait for the application's startup; a second signal gives it up."""
        assert self.lifespan is not None
        starting = asyncio.get_running_loop().create_task(self.lifespan.startup(), name="addax startup")
        starting.add_done_callback(lambda _: self._stop.wake())
        try:
            await self._watch_startup(starting)
        except asyncio.CancelledError:
            starting.cancel()
            await asyncio.wait({starting})
            raise
        if starting.cancelled():
            raise StartupError("stopped during the application's startup")
        starting.result()

    async def _watch_startup(self, starting: asyncio.Task[None]) -> None:
        was_told = False
        while not starting.done():
            if self._stop.is_urgent:
                starting.cancel()
                await asyncio.wait({starting})
            else:
                if self.should_exit and not was_told:
                    was_told = True
                    logger.info("Waiting for application startup to end before stopping. (CTRL+C to give it up)")
                await self._stop.wait()

    async def _open_servers(self, listener: Listener) -> None:
        assert self.lifespan is not None
        self.addresses = listener.addresses
        binds = self._settings.listen.binds
        assembly = self._assembly = build.Assembly(
            self._settings,
            self.config.loaded_app,
            self.server_state,
            self.lifespan.state,
            asyncio.get_running_loop(),
            self.config.tls_material,
            entrances.find_https_port(listener, binds),
        )
        self._watch_tls(assembly)
        open_server = accepting.open_server if self.make_balance is None else self.make_balance().open_server
        self.servers = []
        self._entrances = list(entrances.pair(listener, binds, assembly.make_protocol, assembly.make_clear_protocol))
        for sock, make_protocol in self._entrances:
            self.servers.append(await open_server(make_protocol, sock, self._settings.listen.backlog))

    def _watch_tls(self, assembly: build.Assembly) -> None:
        port, material = assembly.tls_port, self.config.tls_material
        if port is None or material is None:
            return
        from addax.net.tls_watch import TlsWatch

        def use(changed: TlsMaterial) -> None:
            port.material = changed

        days = self._settings.tls.expiry_warning_days
        self._tls_watch = TlsWatch(material, self.config.load_tls, use, days, self.tells_expiry)
        self._tls_watch.start(asyncio.get_running_loop())

    def _take_hangup(self) -> bool:
        """SIGHUP, without a terminal that could have been closed: read the certificates anew, if there are any."""
        if not self.config.is_ssl and self.config.ssl is None:
            return False
        if self._tls_watch is not None:
            self._tls_watch.loop.call_soon_threadsafe(self._read_tls_anew)
        # Before that they were read a moment ago.
        return True

    def _read_tls_anew(self) -> None:
        if self._tls_watch is None or self.should_exit:
            return
        logger.info("Received SIGHUP, reading the certificates anew.")
        if self.announcer is not None:
            self.announcer.reloading()
        self._tls_watch.read_now()
        if self.announcer is not None:
            self.announcer.reloaded()

    # ---- serve

    async def main_loop(self) -> None:
        """Return when the server is to stop."""
        limits = Limits(self._settings.worker, self.limit_max_requests, self.server_state, self._stop.wake)
        self._limits = limits
        limits.start(asyncio.get_running_loop())
        try:
            if self._wants_ticks():
                await self._tick()
            else:
                while not self._is_exit_due():
                    await self._stop.wait()
        finally:
            limits.stop()

    def _wants_ticks(self) -> bool:
        own = getattr(self.on_tick, "__func__", None)
        return own is not Server.on_tick or self.config.callback_notify is not None

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 1) % _TICK_WRAP_COUNT
            await self._stop.wait(loop.time() + TICK_S)

    async def on_tick(self, counter: int) -> bool:
        """Called every ``TICK_S``, if a subclass overrides it or ``callback_notify`` is configured.

        Args:
            counter: the number of this call.

        Returns:
            Whether to stop.
        """
        notify = self.config.callback_notify
        if notify is not None and counter % 10 == 0:
            now = time.time()
            if now - self.last_notified > self.config.timeout_notify:
                self.last_notified = now
                await notify()
        return self._is_exit_due()

    def _is_exit_due(self) -> bool:
        if self.should_exit:
            return True
        reason = None if self._limits is None else self._limits.reached()
        if reason is None:
            return False
        if self.on_limit is not None:
            self.on_limit(reason)
            return False
        logger.info("%s. Terminating process.", reason)
        return True

    # ---- stop

    async def shutdown(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Stop listening, let what is in progress end, shut the application down.

        With ``--timeout-shutdown-delay`` it goes on accepting for so long first.

        Args:
            sockets: what ``startup`` was called with; they are closed.
        """
        self._flush_access_log()
        logger.info("Shutting down")
        self.server_state.shutdown.set()
        worker = self._settings.worker
        try:
            if worker.shutdown_delay_s and not self._stop.is_handover:
                await self._accept_for(worker.shutdown_delay_s)
            await self._stop_accepting()
            drain = Drain(self.server_state, self._stop, worker.graceful_timeout_s, worker.notice_timeout_s)
            await drain.run()
        finally:
            self._close_listeners()
            self._flush_access_log()
            if self.lifespan is not None:
                await self.lifespan.shutdown()

    async def _accept_for(self, delay_s: float) -> None:
        # Who sends requests here has not noticed yet; to refuse them would be to fail them.
        logger.info("Accepting connections for another %g seconds. (CTRL+C to stop now)", delay_s)
        self.server_state.is_leaving = True
        until = asyncio.get_running_loop().time() + delay_s
        while asyncio.get_running_loop().time() < until and not (self._stop.is_urgent or self._stop.is_forced):
            await self._stop.wait(until)

    async def _stop_accepting(self) -> None:
        if self._listener is not None:
            self._listener.remove_files()
            await accepting.close_servers(self.servers, self._entrances, self._stop.is_handover)

    def _flush_access_log(self) -> None:
        # What the server says next is to stand below the requests that were answered before.
        if self._assembly is not None:
            self._assembly.flush_access_log()

    def _close_listeners(self) -> None:
        for server in self.servers:
            server.close()
        if self._listener is not None:
            self._listener.close()

    # ---- signals

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals that stop a server while the block runs; raise again at its end what was taken.

        Does nothing outside the main thread, with ``handle_signals=False``, and where a subclass or the instance
        defines ``install_signal_handlers``: that is called instead.
        """
        install = getattr(self, "install_signal_handlers", None)
        if install is not None:
            install()
        elif self._handles_signals:
            take_hangup = None if has_terminal() else self._take_hangup
            with signals.capture(self.handle_exit, self._captured_signals, take_hangup):
                yield
            return
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal: the first stops gracefully, the second shortens the wait, the third cancels what runs."""
        self._captured_signals.append(sig)
        self._stop.escalate()


_PROCESS = "%s server process [\x1b[36m%%d\x1b[0m]"


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    """Log why the server cannot start. The application's own reasons are logged by ``asgi.lifespan``."""
    try:
        yield
    except StartupError as error:
        logger.error("%s", error)
        raise
