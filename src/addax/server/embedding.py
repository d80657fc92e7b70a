"""What a program that runs a server inside itself needs: to wait for its start, to stop it, to hear why it failed.

``server.Server`` inherits from here. All of it works from any thread and from any event loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import math
import socket
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TypeVar

from addax.server.stopping import StopRequest, outlast_cancellation

_S = TypeVar("_S", bound="EmbeddableServer")


class EmbeddableServer:
    """The outer side of a server's life; the inner one is ``serve``, which a subclass provides."""

    def __init__(self) -> None:
        #: True once connections are accepted; stays True when the server has stopped.
        self.started = False
        #: Why the server did not start, if it did not.
        self.startup_error: BaseException | None = None
        #: What was really bound: ``(host, port)``, or the path of a Unix socket. Empty before the start.
        self.addresses: list[tuple[str, int] | str] = []
        self._stop = StopRequest()
        self._is_serving = False
        self._start_known: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._end_known: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._task: asyncio.Task[None] | None = None

    async def serve(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Serve until something asks for a stop."""
        raise NotImplementedError

    def run(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Serve in an event loop of its own."""
        raise NotImplementedError

    # ---- flags, settable from any thread

    @property
    def should_exit(self) -> bool:
        """Set it to True to stop gracefully; from any thread, with effect at once. To serve again, set it to False."""
        return self._stop.is_asked

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._stop.is_asked = value
        if not value:
            self._stop.is_urgent = False
            self._forget_end()
        self._stop.wake()

    @property
    def force_exit(self) -> bool:
        """Set it to True, besides ``should_exit``, to cancel what still runs. The application's shutdown still runs."""
        return self._stop.is_forced

    @force_exit.setter
    def force_exit(self, value: bool) -> None:
        self._stop.is_forced = value
        self._stop.wake()

    def hand_over(self, rest_s: float | None = None) -> None:
        """Stop gracefully while other processes accept from the same sockets: what nobody has accepted is theirs.

        Args:
            rest_s: how long an idle connection must have been idle before it is closed, in seconds. None: as long as
                between any two requests, for nobody is in a hurry, and who closes may cross a request.
        """
        self._stop.is_handover = True
        self._stop.rest_s = math.inf if rest_s is None else rest_s
        self.should_exit = True

    def hurry(self) -> None:
        """Stop, and give what is in progress a second; a start in progress is given up."""
        self._stop.is_asked = self._stop.is_urgent = True
        self._stop.wake()

    # ---- waiting

    async def wait_started(self) -> None:
        """Wait until connections are accepted. If nobody has called ``serve`` yet, wait for that too.

        Raises:
            StartupError: the server could not start.
            BaseException: what else the start failed with, for example an error inside the application's module.
            RuntimeError: the server was stopped before it had started.
        """
        await asyncio.shield(asyncio.wrap_future(self._start_known))
        self._raise_if_not_started()

    async def wait_stopped(self) -> None:
        """Wait until the server has stopped, for whatever reason, and the application's shutdown is over."""
        await asyncio.shield(asyncio.wrap_future(self._end_known))

    async def stop(self, timeout: float | None = None) -> None:
        """Stop gracefully and wait until the server has stopped. Returns at once if it does not run.

        Requests in progress get the configured time. Do not await this inside one of them: the server would wait for
        the request and the request for the server; there, set ``should_exit``.

        Args:
            timeout: seconds after which what still runs is cancelled; None: as configured.
        """
        self.should_exit = True
        if not self._is_serving:
            return
        try:
            await asyncio.wait_for(self.wait_stopped(), timeout)
        except asyncio.TimeoutError:
            self.force_exit = True
            await self.wait_stopped()

    async def __aenter__(self: _S) -> _S:
        """Start serving in the running loop and wait until connections are accepted.

        Raises:
            StartupError: and what else ``wait_started`` raises.
        """
        self._task = asyncio.get_running_loop().create_task(self.serve(), name="addax server")
        try:
            await self.wait_started()
        except BaseException:
            self.should_exit = True
            await self._wait_for_task(raise_errors=False)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop gracefully and wait for the end, even if the waiter is cancelled."""
        self.should_exit = True
        await self._wait_for_task(raise_errors=True)

    async def _wait_for_task(self, raise_errors: bool) -> None:
        assert self._task is not None
        try:
            await outlast_cancellation(self._task, self._stop)
        except asyncio.CancelledError:
            raise
        except BaseException:
            if raise_errors:
                raise

    # ---- a thread of its own

    @contextlib.contextmanager
    def run_in_thread(self: _S) -> Iterator[_S]:
        """Serve in a thread of its own, with an event loop of its own, for as long as the ``with`` block runs.

        The block begins when connections are accepted; at its end the server stops gracefully.

        Raises:
            StartupError: and what else ``wait_started`` raises.
            BaseException: what the server failed with later.
        """
        failures: list[BaseException] = []
        thread = threading.Thread(target=self._run_and_note, args=(failures,), name="addax server", daemon=True)
        thread.start()
        try:
            self._start_known.result()
            self._raise_if_not_started()
            yield self
        finally:
            self.should_exit = True
            thread.join()
        if failures:
            raise failures[0]

    def _run_and_note(self, failures: list[BaseException]) -> None:
        try:
            self.run()
        except BaseException as error:
            # Before `serve` has begun (no such loop, for example) nobody else would tell those who wait.
            self._note_end(error)
            failures.append(error)

    # ---- what the inner side tells

    def _note_begin(self) -> None:
        """A new life begins. The flags stay: a stop may be asked for before the start."""
        self._forget_end()
        self._is_serving = True

    def _forget_end(self) -> None:
        if self._end_known.done():
            self._start_known, self._end_known = concurrent.futures.Future(), concurrent.futures.Future()
            self.started = False
            self.startup_error = None

    def _note_started(self) -> None:
        if not self._start_known.done():
            self._start_known.set_result(None)

    def _note_end(self, error: BaseException | None) -> None:
        self._is_serving = False
        if not self.started and self.startup_error is None:
            self.startup_error = error
        self._note_started()
        if not self._end_known.done():
            self._end_known.set_result(None)

    def _raise_if_not_started(self) -> None:
        if self.started:
            return
        if self.startup_error is None:
            raise RuntimeError("the server was stopped before it had started")
        raise self.startup_error
