"""Gunicorn worker classes: ``gunicorn -k addax.workers.AddaxWorker main:app``.

Gunicorn's main process (the "arbiter") binds sockets, forks workers, watches their heartbeat and sends them signals; a
worker serves with an ``addax.Server``. This is the only module that imports Gunicorn; ``_gunicorn_settings`` says what
its settings mean here, ``_gunicorn_logs`` where lines go.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import traceback
from types import FrameType
from typing import Any, ClassVar, NoReturn

from addax import _gunicorn_logs, _gunicorn_settings
from addax.config.config import Config
from addax.core.errors import ConfigError
from addax.core.types import ASGIApp, Receive, Scope, Send
from addax.loops import running
from addax.server.server import Server

try:
    from gunicorn import glogging
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker
except ModuleNotFoundError as error:
    if error.name != "gunicorn":
        raise
    raise ImportError("addax.workers needs Gunicorn (try: pip install gunicorn)", name="gunicorn") from None

__all__ = ["AddaxH11Worker", "AddaxWorker"]

#: Longest time between two signs of life, in seconds.
_BEAT_MAX_S = 1.0


class AddaxWorker(Worker):  # type: ignore[misc]  # Gunicorn has no types
    """Serves an ASGI application under Gunicorn.

    Subclasses may override ``CONFIG_KWARGS``; what stands there goes before what Gunicorn's settings say.
    """

    #: Options of ``addax.Config``, by name.
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {"loop": "auto", "http": "auto"}

    #: Gunicorn's; False once the worker is to end.
    alive: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._server: Server | None = None
        #: While it runs.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_access_log = False
        self._is_quitting = False
        self._is_aborted = False

    # ---- start

    def init_signals(self) -> None:
        """Called by Gunicorn in the new process, before the application is imported."""
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, self.handle_exit)
        signal.signal(signal.SIGINT, self.handle_quit)
        signal.signal(signal.SIGQUIT, self.handle_quit)
        signal.signal(signal.SIGABRT, self.handle_abort)
        signal.signal(signal.SIGUSR1, self.handle_usr1)
        signal.signal(signal.SIGWINCH, self.handle_winch)
        # These come while requests are in progress: libraries written in C are not to see their calls interrupted.
        signal.siginterrupt(signal.SIGTERM, False)
        signal.siginterrupt(signal.SIGUSR1, False)
        # Not as the base class does: signals wake the event loop, not Gunicorn's pipe.

    def load_wsgi(self) -> None:
        """Import the application; called by Gunicorn. With ``reload``, one that cannot be parsed says so on a page."""
        try:
            # Before the import, so that an application may set logging up in another way.
            self._connect_logs()
        except ConfigError as error:
            self._refuse(error)
        try:
            self.wsgi = self.app.wsgi()
        except SyntaxError as error:
            if self.reloader is None:
                raise
            self.log.exception(error)
            if error.filename is not None:
                self.reloader.add_extra_file(error.filename)
            self.wsgi = _make_error_page(error)

    def _connect_logs(self) -> None:
        log, ours, theirs = self.log, type(self.log), glogging.Logger
        is_logged = _is_access_logged(self.cfg)
        access: logging.Handler | None = None
        if ours.access is not theirs.access or (is_logged and ours.atoms is not theirs.atoms):
            # It may do more than write lines: the one for statsd counts requests.
            access = _gunicorn_logs.OwnAccess(log)
        elif is_logged:
            access = lines = _gunicorn_logs.AccessLines(log.access_log, self.cfg.access_log_format)
            for atom in lines.unknown_atoms():
                log.warning("access_log_format: there is no atom %%(%s)s, a dash stands in its place", atom)
        self._has_access_log = access is not None
        _gunicorn_logs.connect(getattr(log, "error_log", None) or logging.getLogger("gunicorn.error"), access)

    def _make_config(self) -> Config:
        options = _gunicorn_settings.read_settings(self.cfg, self.max_requests)
        options["access_log"] = self._has_access_log
        return Config(self.wsgi, **_gunicorn_settings.merge(options, self.CONFIG_KWARGS))

    # ---- serve

    def run(self) -> None:
        """Serve until a signal or a limit ends it; called by Gunicorn.

        Raises:
            SystemExit: with code 3, at which Gunicorn gives up, if the server could not start; 1 after ``SIGABRT``.
        """
        try:
            self._run()
        finally:
            # An arbiter in a hurry asks again, and Python's own end, where nobody handles signals, is to be no death by
            # one.
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
                signal.signal(number, signal.SIG_IGN)
        if self._is_aborted:
            sys.exit(1)

    def _run(self) -> None:
        server: Server | None = None
        try:
            if not self.sockets:
                raise ConfigError("bind", "Gunicorn has given this worker no socket to listen on")
            config = self._make_config()
            loop_factory = config.get_loop_factory()
            server = self._server = Server(config, handle_signals=False)
            # Otherwise the signal came while the application was imported, and found no server.
            if self.alive:
                running.run(self._serve(server), loop_factory)
        except ConfigError as error:
            self._refuse(error)
        except Exception:
            if server is None or server.started:
                raise
            self.log.exception("Exception in worker process")
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        # It was logged. A start that was given up because of a signal is no failure.
        if server.startup_error is not None and self.alive:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def _refuse(self, error: ConfigError) -> NoReturn:
        self.log.error("%s", _gunicorn_settings.explain(error, self.CONFIG_KWARGS))
        sys.exit(Arbiter.WORKER_BOOT_ERROR)

    async def _serve(self, server: Server) -> None:
        loop = self._loop = asyncio.get_running_loop()
        wake_up = self.PIPE[0]
        loop.add_reader(wake_up, self._woken, server)
        # A task of the event loop: a loop that is blocked gives no sign. From before the application's startup until
        # after its shutdown.
        pulse = loop.create_task(self._beat(server), name="addax heartbeat")
        try:
            await server.serve(sockets=[listener.sock for listener in self.sockets])
        finally:
            pulse.cancel()
            self._loop = None
            loop.remove_reader(wake_up)

    async def _beat(self, server: Server) -> None:
        """Give signs of life; see to it that no worker outlives the arbiter."""
        interval_s = min(_BEAT_MAX_S, self.timeout) if self.timeout else _BEAT_MAX_S
        while True:
            if self.timeout:
                self.notify()
            if self.alive and os.getppid() != self.ppid:
                self.log.info("Parent changed, shutting down: %s", self)
                self.alive = False
            self._follow_alive(server)
            await asyncio.sleep(interval_s)

    def _woken(self, server: Server) -> None:
        """Another thread has something for us: Gunicorn's reloader, which has set ``alive``."""
        os.read(self.PIPE[0], 4096)
        self._follow_alive(server)

    def _follow_alive(self, server: Server) -> None:
        if self.alive or server.should_exit:
            return
        if self.cfg.reload or not server.started:
            # Somebody wants to see what was changed; or nobody is left to end a startup that hangs.
            server.hurry()
        else:
            server.should_exit = True

    # ---- signals; Python calls these in the main thread, between two instructions of whatever runs there

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: stop gracefully. The arbiter sends it every second to one worker too many, which changes nothing."""
        self.alive = False
        if self._server is not None:
            self._server.should_exit = True

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """SIGINT and SIGQUIT: stop, with a second for what is in progress; at once during the import of the app."""
        if self._server is None:
            super().handle_quit(sig, frame)
            return
        self.alive = False
        self._server.hurry()
        if not self._is_quitting:
            # A terminal sends SIGINT to everybody, and the arbiter SIGQUIT to its workers then.
            self._is_quitting = True
            self.cfg.worker_int(self)

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """SIGABRT: the arbiter has waited too long for a sign of life. Say what blocks the event loop, and end.

        Raises:
            SystemExit: in the middle of what blocks. An application may catch it; the worker ends soon all the same.
        """
        self._is_aborted = True
        self._log_stacks(frame)
        if self._server is not None:
            self._server.hurry()
        super().handle_abort(sig, frame)

    def handle_usr1(self, sig: int, frame: FrameType | None) -> None:
        """SIGUSR1: reopen the log files."""
        loop = self._loop
        if loop is None:
            super().handle_usr1(sig, frame)
        else:
            # Not here, perhaps in the middle of writing a line to the file that is to be closed.
            loop.call_soon_threadsafe(self.log.reopen_files)

    def _log_stacks(self, frame: FrameType | None) -> None:
        stacks = [f"Stack of the event loop's thread:\n{''.join(traceback.format_stack(frame))}"]
        stacks += [
            f"Stack of thread {ident}:\n{''.join(traceback.format_stack(other))}"
            for ident, other in sys._current_frames().items()
            if ident != threading.get_ident()
        ]
        self.log.critical("The event loop gave no sign of life (--timeout). %s", "".join(stacks).rstrip())


class AddaxH11Worker(AddaxWorker):
    """The same without any compiled dependency."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {"loop": "asyncio", "http": "h11"}


def _is_access_logged(cfg: Any) -> bool:
    """Whether Gunicorn writes access lines. Its loggers ask the same, but not all versions where others can ask too."""
    to_syslog = cfg.syslog and not cfg.disable_redirect_access_to_syslog
    return bool(cfg.accesslog or cfg.logconfig or cfg.logconfig_dict or cfg.logconfig_json or to_syslog)


def _make_error_page(error: SyntaxError) -> ASGIApp:
    """An application that shows why the real one could not be imported."""
    page = "".join(traceback.format_exception(error)).encode(errors="backslashreplace")
    fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(page))]

    async def error_page(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 500, "headers": fields})
            await send({"type": "http.response.body", "body": page})

    return error_page
