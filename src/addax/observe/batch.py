"""Lines that wait to be written together, in order, and none of them lost.

A line costs a system call of its own where it is written at once, which is as much as the rest of a small request. So
the lines of ``observe.handler.AccessHandler`` wait here, for a bounded time (``observe.access`` keeps the clock) and up
to a bounded size. The writer waits for a reader that is slow, which holds the server back: nothing is dropped, and
nothing piles up.

What is lost all the same: what waits when the process is killed, or leaves by ``os._exit`` or a crash of the
interpreter. Standard library only.
"""

from __future__ import annotations

import codecs
import io
import logging
import os
import select
import stat
from typing import Any

#: Lines are written when they are so long together, whatever the clock says. The length of a pipe's buffer on Linux
#: is twice that, so a reader that keeps up never makes the server wait.
BATCH_MAX_CHARS = 32768

#: What a pipe takes at once without mixing it with what other processes write into the same pipe (POSIX, ``write``).
#: Several workers share one standard output, so more than that is written in pieces that end where a line ends.
PIECE_MAX_BYTES: int = getattr(select, "PIPE_BUF", 512)

#: In these, what is encoded in pieces is what is encoded as a whole.
_STATELESS = frozenset({"utf-8", "ascii", "iso8859-1"})

_STREAM_ONLY = -1


class BatchWriter:
    """The lines of one handler that have not been written yet.

    Lines may be added by any thread. Writing happens under the handler's lock, so they do not mix with records that
    other threads log through the same handler.

    Args:
        handler: whose stream is written to.
    """

    __slots__ = (
        "_descriptor",
        "_encoding",
        "_errors",
        "_handler",
        "_has_failed",
        "_is_writing",
        "_lines",
        "_piece_max",
        "_rest",
        "_rest_start",
        "_size",
        "_size_max",
        "_stream",
    )

    def __init__(self, handler: logging.StreamHandler[Any]) -> None:
        self._handler = handler
        #: Always the same list: one thread may add to it while another one takes from its beginning.
        self._lines: list[str] = []
        self._size = 0
        self._size_max = BATCH_MAX_CHARS
        #: Bytes of lines that were taken, and how many of them have been written.
        self._rest = b""
        self._rest_start = 0
        self._is_writing = False
        self._has_failed = False
        self._stream: Any = None
        self._descriptor = _STREAM_ONLY
        self._encoding = "utf-8"
        self._errors = "strict"
        self._piece_max = PIECE_MAX_BYTES

    def add(self, line: str) -> None:
        """Take a line, its end included. Writes all that wait if they are enough.

        Never raises for what the stream does, see ``flush``.
        """
        self._lines.append(line)
        self._size += len(line)
        if self._size >= self._size_max:
            self.flush()

    def flush(self) -> None:
        """Write all that waits; return when it is written.

        What the stream refuses (a reader that has gone, a full disk) is dropped and reported as ``logging`` reports
        it (``Handler.handleError``), once, until something can be written again.
        """
        if not self._lines and not self._rest:
            return
        handler = self._handler
        handler.acquire()
        try:
            # Again from inside: a signal handler logs, or the stream does. The call that is going on writes that too.
            if not self._is_writing:
                self._is_writing = True
                try:
                    self._write_waiting()
                finally:
                    self._is_writing = False
        finally:
            handler.release()

    def forget(self) -> None:
        """Drop what waits: it belongs to the process that this one was forked from, which will write it."""
        self._lines.clear()
        self._size = 0
        self._drop_rest()
        self._is_writing = False

    def _write_waiting(self) -> None:
        lines = self._lines
        while lines or self._rest:
            count = len(lines)
            text = "".join(lines[:count])
            del lines[:count]
            self._size = 0
            try:
                self._write(text)
            except Exception:
                self._drop_rest()
                self._report(count)
            else:
                self._has_failed = False

    def _write(self, text: str) -> None:
        stream = self._handler.stream
        if stream is not self._stream:
            self._look_at(stream)
        if self._descriptor == _STREAM_ONLY:
            try:
                stream.write(text)
            except UnicodeEncodeError as error:
                # One character is no reason to lose all of the lines.
                stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
            stream.flush()
            return
        try:
            data = text.encode(self._encoding, self._errors)
        except UnicodeEncodeError:
            data = text.encode(self._encoding, "backslashreplace")
        self._rest = self._rest + data if self._rest else data
        # Somebody may have printed to the same stream before.
        self._flush_stream()
        while self._rest_start < len(self._rest):
            self._write_piece()
        self._drop_rest()

    def _drop_rest(self) -> None:
        self._rest = b""
        self._rest_start = 0

    def _write_piece(self) -> None:
        rest = self._rest
        start = self._rest_start
        end = start + self._piece_max
        if end < len(rest):
            # As many whole lines as there are; of a line that is too long, as much as fits.
            end = rest.rfind(b"\n", start, end) + 1 or end
        piece = rest[start:end]
        try:
            # Interrupted by a signal, it goes on by itself (PEP 475). A handler of the signal that raises leaves the
            # rest to the next flush.
            count = os.write(self._descriptor, piece)
        except BlockingIOError:
            self._wait_writable()
        else:
            self._rest_start = start + count

    def _flush_stream(self) -> None:
        while True:
            try:
                self._stream.flush()
                return
            except BlockingIOError:
                self._wait_writable()

    def _wait_writable(self) -> None:
        """For descriptors that somebody made non-blocking, perhaps another process that has the same pipe."""
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            poll.poll()
        else:
            select.select([], [self._descriptor], [])

    def _look_at(self, stream: Any) -> None:
        """Find out how to write to a stream."""
        self._descriptor = _STREAM_ONLY
        # Subclasses may do more than write. Windows' consoles and line ends are left to the stream.
        if type(stream) is io.TextIOWrapper and os.name == "posix":
            try:
                encoding = codecs.lookup(stream.encoding).name
                descriptor = stream.fileno()
                mode = os.fstat(descriptor).st_mode
            except (OSError, LookupError):
                pass  # no descriptor under it
            else:
                if encoding in _STATELESS:
                    self._descriptor = descriptor
                    self._encoding = encoding
                    self._errors = stream.errors or "strict"
                    # A file takes all at once.
                    self._piece_max = BATCH_MAX_CHARS * 16 if stat.S_ISREG(mode) else PIECE_MAX_BYTES
        self._stream = stream

    def _report(self, count: int) -> None:
        if self._has_failed:
            return
        self._has_failed = True
        self._handler.handleError(
            logging.LogRecord(
                "addax.access", logging.INFO, __file__, 0, "%d lines could not be written", (count,), None
            )
        )
