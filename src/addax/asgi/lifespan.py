"""The application's startup and shutdown: ASGI lifespan protocol 2.0, with state.

``server.server`` makes one ``Lifespan`` for each worker, awaits ``startup`` before it listens and ``shutdown`` when the
last request has ended; ``state`` goes into ``asgi.service.Service``, which copies it for each request.

The application's lifespan is one call that lives as long as the worker, so it runs as a task of its own, in a copy of
the context that ``startup`` was called in: what it changes there is never seen by a request.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from addax.core.errors import ConfigError, LocalProtocolError, StartupError
from addax.core.types import ASGIApp, Message

logger = logging.getLogger("addax.error")

MODES = ("auto", "on", "off")

#: How long the application may take to return after its last message, and to follow a cancellation.
_RETURN_TIMEOUT_S = 5.0
_CANCEL_TIMEOUT_S = 1.0

_PACKAGE_DIRECTORY = str(Path(__file__).parents[1]) + os.sep


class Lifespan:
    """Runs the lifespan of one application. Names beyond the methods are those that embedders of uvicorn read.

    ========================  ==========================================  ====================================
    what the application does  ``auto``                                    ``on``
    ========================  ==========================================  ====================================
    raises before it asks for  info "appears unsupported", serve           startup fails
    an event, or talks HTTP
    raises inside startup      ERROR with its traceback, serve             startup fails
    returns without an answer  as if it had no lifespan (warning if it     startup fails
                               had taken ``lifespan.startup``)
    ``lifespan.startup.failed``, ``sys.exit()``, too slow                  startup fails in both modes
    ========================  ==========================================  ====================================

    Args:
        app: the ASGI 3 application.
        mode: ``auto``, ``on`` or ``off``; with ``off`` both methods do nothing.
        startup_timeout_s: seconds for the whole startup; None: no bound.
        shutdown_timeout_s: seconds for the whole shutdown; None: no bound.

    Raises:
        ConfigError: ``mode`` is none of the three.
    """

    def __init__(
        self,
        app: ASGIApp,
        mode: str = "auto",
        startup_timeout_s: float | None = None,
        shutdown_timeout_s: float | None = 60.0,
    ) -> None:
        if mode not in MODES:
            raise ConfigError("--lifespan", f"{mode!r} is not one of {', '.join(MODES)}")
        self.app = app
        self.mode = mode
        self.startup_timeout_s = startup_timeout_s
        self.shutdown_timeout_s = shutdown_timeout_s
        #: ``scope["state"]`` of the lifespan scope: the application fills it, requests get a copy.
        self.state: dict[str, Any] = {}
        self.startup_failed = False
        self.shutdown_failed = False
        #: The application raised, or broke the protocol, at any time.
        self.error_occurred = False
        self.should_exit = False
        self._task: asyncio.Task[None] | None = None
        #: Set when the application has answered ``lifespan.startup`` (``lifespan.shutdown``), or has ended.
        self._startup_answered = asyncio.Event()
        self._shutdown_asked = asyncio.Event()
        self._shutdown_answered = asyncio.Event()
        #: Set when nothing more can come of the application: it ended, or asks for an event that will never be.
        self._idle = asyncio.Event()
        self._startup_taken = False
        self._shutdown_taken = False
        self._started = False
        self._speaks_other_protocol = False
        #: A ``….failed`` came with a message, which was logged.
        self._is_explained = False
        #: The server has given up on the application and has cancelled it.
        self._is_abandoned = False
        self._error: BaseException | None = None

    @property
    def error_occured(self) -> bool:
        """``error_occurred`` in the spelling of early uvicorn versions, which embedders still read."""
        return self.error_occurred

    async def startup(self) -> None:
        """Start the application and wait until it is ready. Everything is logged here, also the failure.

        Raises:
            StartupError: the application failed to start, or took longer than ``startup_timeout_s``.
        """
        if self.mode == "off":
            return
        logger.info("Waiting for application startup.")
        self._task = asyncio.get_running_loop().create_task(self._run(), name="addax lifespan")
        try:
            answered = await _wait(self._startup_answered, self.startup_timeout_s)
        except asyncio.CancelledError:
            await self._cancel()
            raise
        reason = self._judge_startup() if answered else self._timeout_reason()
        if reason is None:
            logger.info("Application startup complete.")
            return
        self.startup_failed = self.should_exit = True
        logger.error("Application startup failed. Exiting.")
        await self._end_task(_RETURN_TIMEOUT_S if answered else 0)
        raise StartupError(reason)

    async def shutdown(self) -> bool:
        """Tell the application to stop and wait until it has. Does nothing if startup was not completed.

        An application that does not keep to the bound is cancelled, and left behind if it resists that for a second.

        Returns:
            False if the application's shutdown failed or took longer than ``shutdown_timeout_s``, or if its lifespan
            had died before. It never raises, whatever the application does.
        """
        if not self._started:
            return True
        if self._shutdown_asked.is_set() or self.error_occurred:
            # A lifespan that died while the server ran was logged then: there is nobody to ask.
            return not (self.shutdown_failed or self.error_occurred)
        logger.info("Waiting for application shutdown.")
        await self._stop()
        if self.shutdown_failed:
            self.should_exit = True
            logger.error("Application shutdown failed. Exiting.")
        else:
            logger.info("Application shutdown complete.")
        return not self.shutdown_failed

    async def _stop(self) -> None:
        clock = asyncio.get_running_loop().time
        begin = clock()
        self._shutdown_asked.set()
        if await _wait(self._shutdown_answered, self.shutdown_timeout_s):
            rest = _RETURN_TIMEOUT_S
            if self.shutdown_timeout_s is not None:
                rest = min(rest, max(0.0, begin + self.shutdown_timeout_s - clock()))
            await self._end_task(rest)
        else:
            self.shutdown_failed = True
            logger.error(
                "The shutdown took longer than %g seconds (--timeout-lifespan-shutdown).", self.shutdown_timeout_s
            )
            await self._end_task(0)

    # What the application's task does.

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self.app(scope, self._receive, self._send)
        except asyncio.CancelledError as error:
            self._error = error
            raise
        except (Exception, SystemExit) as error:
            # SystemExit would leave the loop through the task and take every connection with it.
            self._error = error
        finally:
            self._ended()

    def _ended(self) -> None:
        """Classify the end of the application's call; before startup is answered that is ``startup``'s business."""
        error = self._error
        if error is not None and not self._is_abandoned:
            if not self._startup_answered.is_set():
                self.error_occurred = True
            elif self.startup_failed or self.shutdown_failed:
                # After `….failed` frameworks raise the same again: needed only if the message did not say why.
                if not self._is_explained:
                    self._log_error("Exception in 'lifespan' protocol")
            elif not self._shutdown_answered.is_set():
                self._died(error)
            else:
                self._log_error("Exception in 'lifespan' protocol after the shutdown was complete")
        self._startup_answered.set()
        self._shutdown_answered.set()
        self._idle.set()

    def _died(self, error: BaseException) -> None:
        self.error_occurred = True
        self.shutdown_failed = self._shutdown_asked.is_set()
        if isinstance(error, asyncio.CancelledError):
            # Most likely the event loop is being closed without a shutdown: a traceback would tell nothing.
            logger.warning("The application's lifespan was cancelled.")
        else:
            self._log_error("Exception in 'lifespan' protocol")

    async def _receive(self) -> Message:
        if not self._startup_taken:
            self._startup_taken = True
            return {"type": "lifespan.startup"}
        if not self._shutdown_taken:
            await self._shutdown_asked.wait()
            self._shutdown_taken = True
            return {"type": "lifespan.shutdown"}
        if self._shutdown_answered.is_set():
            # A `while True` loop that is never left: there is no third event, so do not wait for its end.
            self._idle.set()
        never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await never

    async def _send(self, message: Message) -> None:
        kind = message.get("type") if isinstance(message, Mapping) else None
        mistake = self._find_mistake(message, kind)
        if mistake is not None:
            raise LocalProtocolError(f"{_describe(message, kind)} was sent {mistake}")
        is_failure = str(kind).endswith(".failed")
        if is_failure and message.get("message"):
            self._is_explained = True
            logger.error("%s", message["message"])
        if str(kind).startswith("lifespan.startup."):
            self.startup_failed = is_failure
            self._started = not is_failure
            self._startup_answered.set()
        else:
            self.shutdown_failed = is_failure
            self._shutdown_answered.set()

    def _find_mistake(self, message: object, kind: object) -> str | None:
        if self._is_abandoned:
            return "after the server had cancelled the lifespan"
        if kind in ("lifespan.startup.complete", "lifespan.startup.failed"):
            return "when the startup had been answered already" if self._startup_answered.is_set() else None
        if kind in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            if not self._shutdown_taken:
                return "before 'lifespan.shutdown' was received"
            return "when the shutdown had been answered already" if self._shutdown_answered.is_set() else None
        self._speaks_other_protocol = isinstance(kind, str) and not kind.startswith("lifespan.")
        return "in a lifespan scope, which takes only lifespan events"

    # What became of it.

    def _judge_startup(self) -> str | None:
        """Decide, and log, what the application's answer means.

        Returns:
            Why the startup failed; None: go on.
        """
        if self._started:
            return None
        if self.startup_failed:
            return "the application's startup failed"
        if self._error is None:
            return self._judge_return()
        name = type(self._error).__name__
        if isinstance(self._error, SystemExit):
            logger.error("The application called sys.exit(%s) during startup.", self._error.code)
            return f"the application called sys.exit({self._error.code}) during startup"
        if self.mode == "on":
            self._log_error("Exception in 'lifespan' protocol")
            return f"the application raised {name} in its lifespan"
        if self._speaks_other_protocol or not self._startup_taken:
            logger.info("ASGI 'lifespan' protocol appears unsupported.")
        else:
            self._log_error(
                "Exception in 'lifespan' protocol: the application's startup did not finish. "
                "Serving all the same, because of --lifespan auto; with --lifespan on this would stop the server"
            )
        return None

    def _judge_return(self) -> str | None:
        if self.mode == "on":
            logger.error("The application's lifespan returned without sending 'lifespan.startup.complete'.")
            return "the application's lifespan returned without sending 'lifespan.startup.complete'"
        if self._startup_taken:
            logger.warning(
                "The application's lifespan returned without sending 'lifespan.startup.complete'; it gets no shutdown."
            )
        else:
            logger.info("ASGI 'lifespan' protocol appears unsupported.")
        return None

    def _timeout_reason(self) -> str:
        reason = f"the application's startup took longer than {self.startup_timeout_s:g} seconds"
        logger.error("The startup took longer than %g seconds (--timeout-lifespan-startup).", self.startup_timeout_s)
        return f"{reason} (--timeout-lifespan-startup)"

    def _log_error(self, text: str) -> None:
        error = self._error
        assert error is not None
        logger.error("%s\n", text, exc_info=(type(error), error, _trim(error.__traceback__)))

    async def _end_task(self, timeout_s: float) -> None:
        """Let the application return by itself; cancel what is left of it."""
        await _wait(self._idle, timeout_s)
        await self._cancel()

    async def _cancel(self) -> None:
        task = self._task
        if task is not None and not task.done():
            self._is_abandoned = True
            task.cancel()
            await asyncio.wait({task}, timeout=_CANCEL_TIMEOUT_S)


async def _wait(event: asyncio.Event, timeout_s: float | None) -> bool:
    """Wait for an event, at most ``timeout_s`` seconds (None: no bound); tell whether it came."""
    if not event.is_set() and timeout_s != 0:
        try:
            await asyncio.wait_for(event.wait(), timeout_s)
        except asyncio.TimeoutError:
            pass
    return event.is_set()


def _describe(message: object, kind: object) -> str:
    if kind is not None:
        return repr(kind)
    return "a message without a type" if isinstance(message, Mapping) else f"a {type(message).__name__}"


def _trim(traceback: TracebackType | None) -> TracebackType | None:
    """Drop the server's own frames from the top, so that the first line is the user's."""
    frame = traceback
    while frame is not None and frame.tb_frame.f_code.co_filename.startswith(_PACKAGE_DIRECTORY):
        frame = frame.tb_next
    return frame if frame is not None else traceback
