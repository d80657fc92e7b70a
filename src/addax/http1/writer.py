"""The writing half of an HTTP/1.1 connection: what a request cycle sends, in the framing of its response.

Two habits save most of the work. What is written while bytes are being received is gathered and written once at the end
(``_gathering``), so an application that answers at once costs one write, however many requests came in one piece. And a
response head is held until the first body bytes, one turn of the loop at the most: a body that is known by then needs
no chunked coding, and goes out with its head.

Implements: RFC 9112 §6 (framing), §7.1 (chunked coding); RFC 9110 §10.1.1 (100 Continue), §15.2 (interim responses).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import BinaryIO

from addax.asgi.service import Service
from addax.core.errors import ClientDisconnected, LocalProtocolError
from addax.core.fields import CLOSES
from addax.core.headers import ResponseFields, encode_fields
from addax.core.pieces import join
from addax.core.status import STATUS_LINES
from addax.core.wire import Host
from addax.http1.encode import (
    CHUNKED,
    LAST_CHUNK,
    LENGTH,
    NO_BODY,
    UNTIL_CLOSE,
    DefaultFields,
    choose_framing,
    field_block,
)
from addax.http1.machine import Machine
from addax.http1.parser import ParserHandler
from addax.http1.states import WRITE_BODY, WRITE_CLOSED, WRITE_IDLE

_logger = logging.getLogger("addax.error")

#: Bodies up to this are copied into one piece with their head; above it the copy costs more than a second piece.
JOIN_MAX_BYTES = 16384
#: What is read of a file at once where the kernel cannot send it.
FILE_PIECE_BYTES = 262144


_FINAL_STATUSES = frozenset(range(200, 600))


def _length_lines(size: int) -> tuple[bytes, bytes]:
    """A body's length as a field's value, and the end of a head that says it."""
    return b"%d" % size, b"content-length: %d\r\n\r\n" % size


# As for the small ones, but made as they come; cleared when full, because an application can make any length up.
_large_lengths: dict[int, tuple[bytes, bytes]] = {}
_LARGE_LENGTHS_MAX = 1024


def _large_length(size: int) -> tuple[bytes, bytes]:
    known = _large_lengths.get(size)
    if known is None:
        if len(_large_lengths) >= _LARGE_LENGTHS_MAX:
            _large_lengths.clear()
        known = _large_lengths[size] = _length_lines(size)
    return known


# Formatting a number costs several times a look-up.
_SMALL_COUNT = 1024
_SMALL_LENGTHS = [_length_lines(size) for size in range(_SMALL_COUNT)]


class ResponseWriter(ParserHandler):
    """Most of a ``ResponseSink``; ``Http1Connection`` is the rest."""

    __slots__ = (
        "_body_left",
        "_body_length",
        "_defaults",
        "_drain_waiters",
        "_ended_at",
        "_expects_continue",
        "_fields",
        "_framing",
        "_gathering",
        "_host",
        "_is_draining",
        "_is_flush_due",
        "_is_pipelined",
        "_machine",
        "_method",
        "_minor",
        "_out",
        "_out_bytes",
        "_service",
        "_settings",
        "_status",
        "_trailers",
    )

    def _begin(self, service: Service, defaults: DefaultFields) -> None:
        """What ``__init__`` would be, for ``Http1Connection`` to call. As a chain of calls up to the first class that
        costs 3,000 instructions of a connection; this is one call in C.
        """
        # As ``ResponseSink`` begins.
        self.is_writable = True
        self._service = service
        self._settings = service.settings
        self._defaults = defaults
        self._machine = Machine()
        self._host: Host
        # Of the request in progress.
        self._method = ""
        self._minor = 1
        self._expects_continue = False
        # Of its response.
        self._status = 200
        #: Held until the framing is settled.
        self._fields: ResponseFields | None = None
        self._framing = NO_BODY
        #: In bytes; -1 if it is not known.
        self._body_length = -1
        self._body_left = 0
        #: Field lines that follow the body, once the application has announced them.
        self._trailers: bytes | None = None
        # Of the connection.
        self._gathering = False
        #: More than one request came at once, so there may be more than one answer to write at once.
        self._is_pipelined = False
        #: What is gathered; None while it is nothing, which it is in an idle connection.
        self._out: list[bytes] | None = None
        self._out_bytes = 0
        self._is_flush_due = False
        self._is_draining = False
        #: When the last response ended, on ``core.clock.now``.
        self._ended_at = 0.0
        self._drain_waiters: list[asyncio.Future[None]] | None = None

    def _end_response(self) -> None:
        """The response's last byte was written."""
        raise NotImplementedError

    # ---- what the cycle sends

    def send_head(self, status: int, headers: Iterable[tuple[bytes, bytes]], trailers: bool) -> None:
        """Take the response head; it waits for the first body bytes, one turn of the loop at the most."""
        if status not in _FINAL_STATUSES:
            raise LocalProtocolError(f"status {status!r} is not an integer from 200 to 599")
        self._fields = encode_fields(headers)
        self._status = status
        self._trailers = b"" if trailers else None
        if not self._gathering and not self._is_flush_due:
            self._is_flush_due = True
            self._service.loop.call_soon(self._flush_head)

    def send_informational(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Send an interim response; HTTP/1.0 has none (RFC 9110 §15.2)."""
        block = field_block(headers)
        if self._minor == 1:
            self._write(STATUS_LINES[status] + block + b"\r\n")

    def send_body(self, data: bytes, more: bool) -> None:
        """Send body bytes; with ``more`` False the response ends."""
        fields = self._fields
        if fields is None:
            self._count_body(len(data), more)
            self._write_body(b"", data, more)
        elif (
            more
            or self._trailers is not None
            or self._status == 204
            or self._status == 304
            # The length first: it is cheaper to compare.
            or (len(self._method) == 4 and self._method == "HEAD")
        ):
            self._settle_framing(None if more else len(data))
            self._count_body(len(data), more)
            self._write_body(self._encode_head(), data, more)
        else:
            # Head and body at once: what most responses are, so all in one place and without detours.
            lines, content_length, special = fields
            size = len(data)
            length, end = _SMALL_LENGTHS[size] if size < _SMALL_COUNT else _large_length(size)
            if content_length is not None and content_length != length:
                self._settle_framing(None)
                self._count_body(size, False)
            self._fields = None
            machine = self._machine
            if special & CLOSES or self._expects_continue or self._is_draining:
                machine.keep_alive = False
            if not machine.keep_alive or self._minor == 0:
                end = end[:-4] + self._persistence_lines()
            machine.whole_response_written()
            now = self._ended_at = self._service.now()
            defaults = self._defaults
            if special == 0 and now < defaults.until and self._status == defaults.last_status:
                # As ``start`` says too, without the call.
                start = defaults.last_start
            else:
                start = defaults.start(self._status, special, now)
            if size <= JOIN_MAX_BYTES:
                piece = join((start, lines, end, data))
                if self._is_pipelined or self._out is not None:
                    self._write(piece)
                else:
                    self._host.write(piece)
            else:
                self._write(start + lines + end)
                self._write(data)
            self._end_response()
            return
        if not more:
            self._machine.response_written()
            self._ended_at = self._service.now()
            self._end_response()

    def _persistence_lines(self) -> bytes:
        """The end of a head: what becomes of the connection where the version does not say it, and the empty line."""
        if not self._machine.keep_alive:
            return b"\r\nconnection: close\r\n\r\n"
        return b"\r\nconnection: keep-alive\r\n\r\n" if self._minor == 0 else b"\r\n\r\n"

    async def send_file(self, file: BinaryIO, offset: int, count: int, more: bool) -> None:
        """Send part of an open regular file as body bytes."""
        is_held = self._fields is not None
        if is_held:
            self._settle_framing(None if more else count)
        self._count_body(count, more)
        if is_held:
            self._write(self._encode_head())
        if self._framing != NO_BODY and count:
            if self._framing == CHUNKED:
                self._write(b"%x\r\n" % count)
            self._write_gathered()
            try:
                is_sent = await self._host.send_file(file, offset, count)
            except ConnectionError as error:
                raise ClientDisconnected("the client has disconnected") from error
            if not is_sent:
                await self._send_file_pieces(file, offset, count)
            if self._framing == CHUNKED:
                self._write(b"\r\n")
        if self._machine.writing != WRITE_BODY:
            raise ClientDisconnected("the client has disconnected")
        if not more:
            if self._framing == CHUNKED:
                self._write(LAST_CHUNK)
            self._machine.response_written()
            self._ended_at = self._service.now()
            self._end_response()

    def send_trailers(self, headers: Iterable[tuple[bytes, bytes]], more: bool) -> None:
        """Take trailer fields; with ``more`` False the response ends."""
        assert self._trailers is not None
        block = field_block(headers)
        self._trailers += block
        if more:
            return
        self._count_body(0, False)
        if self._framing == CHUNKED:
            self._write(b"0\r\n" + self._trailers + b"\r\n")
        self._machine.response_written()
        self._ended_at = self._service.now()
        self._end_response()

    def send_continue(self) -> None:
        """The application asks for the body: the client may send it (RFC 9110 §10.1.1)."""
        if self._expects_continue and self._machine.writing == WRITE_IDLE:
            self._expects_continue = False
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was sent."""
        while not self.is_writable and self._machine.writing != WRITE_CLOSED:
            future: asyncio.Future[None] = self._service.loop.create_future()
            if self._drain_waiters is None:
                self._drain_waiters = []
            self._drain_waiters.append(future)
            await future
        if self._machine.writing == WRITE_CLOSED:
            raise ClientDisconnected("the client has disconnected")

    # ---- how it is written

    def _settle_framing(self, whole_length: int | None) -> None:
        """Decide how the body's end will be told.

        Args:
            whole_length: of the body if all of it is at hand, in bytes.
        """
        assert self._fields is not None
        content_length = self._fields[1]
        if content_length is not None:
            self._body_length = int(content_length)
        elif whole_length is not None and self._trailers is None:
            self._body_length = whole_length
        else:
            self._body_length = -1
        self._framing = choose_framing(self._status, self._method, self._minor, self._body_length)
        self._body_left = self._body_length

    def _encode_head(self) -> bytes:
        """The held head as bytes; from here on the response is on the wire."""
        assert self._fields is not None
        lines, _, special = self._fields
        self._fields = None
        machine = self._machine
        # A body that was announced but not asked for may never come, or come late: the connection cannot be used again.
        if special & CLOSES or self._expects_continue or self._is_draining or self._framing == UNTIL_CLOSE:
            machine.keep_alive = False
        start = self._defaults.start(self._status, special, self._service.now()) + lines
        if self._framing == CHUNKED:
            length = b"transfer-encoding: chunked"
        elif self._body_length >= 0 and self._status != 204:
            # RFC 9110 §8.6: "A server MUST NOT send a Content-Length header field in any response with a status code of
            # […] 204". For HEAD and 304 it says what the length would have been.
            length = b"content-length: %d" % self._body_length
        else:
            # No line of its own: the line end that the next one begins with is there already.
            start, length = start[:-2], b""
        machine.head_written()
        return b"".join((start, length, self._persistence_lines()))

    def _write_body(self, head: bytes, data: bytes, more: bool) -> None:
        """Body bytes in the response's framing, in one piece with the head where that is cheap."""
        suffix = b""
        if self._framing == NO_BODY:
            data = b""
        elif self._framing == CHUNKED:
            if data:
                head += b"%x\r\n" % len(data)
                suffix = b"\r\n"
            if not more:
                suffix += LAST_CHUNK
        if len(data) > JOIN_MAX_BYTES:
            self._write(head)
            self._write(data)
            self._write(suffix)
        else:
            self._write(head + data + suffix)

    def _count_body(self, count: int, more: bool) -> None:
        """Hold the application to the length that it announced: the peer counts on it (RFC 9112 §6.3)."""
        if self._framing == LENGTH:
            left = self._body_left - count
            if left < 0:
                raise LocalProtocolError("the response body is longer than its content-length")
            if left > 0 and not more:
                raise LocalProtocolError(f"the response body is {left} bytes shorter than its content-length")
            self._body_left = left
        elif count and self._framing == NO_BODY and self._method != "HEAD":
            _logger.error(
                "The application sent a body of %d bytes with a status that has none; it was left out.", count
            )

    def _write(self, data: bytes) -> None:
        if not data:
            return
        if not self._gathering:
            self._host.write(data)
            return
        self._put_out(data)
        self._out_bytes += len(data)
        if self._out_bytes > self._settings.write_buffer_bytes:
            # An application that never waits would fill the memory before the host could say that the client is slow.
            self._write_gathered()

    def _put_out(self, data: bytes) -> None:
        if self._out is None:
            self._out = []
        self._out.append(data)

    def _write_gathered(self) -> None:
        out = self._out
        if out is None:
            return
        self._out = None
        size, self._out_bytes = self._out_bytes, 0
        if len(out) == 1:
            self._host.write(out[0])
        elif size <= JOIN_MAX_BYTES:
            self._host.write(b"".join(out))
        else:
            for piece in out:
                self._host.write(piece)

    def _flush_head(self) -> None:
        """Send a held head that no body has come for."""
        self._is_flush_due = False
        if self._fields is not None and self._machine.writing == WRITE_IDLE:
            self._settle_framing(None)
            self._write(self._encode_head())

    def _stop_gathering(self) -> None:
        if self._fields is not None:
            self._flush_head()
        self._gathering = False
        if self._out is not None:
            self._write_gathered()

    def _wake_drained(self) -> None:
        waiters, self._drain_waiters = self._drain_waiters, None
        if waiters is not None:
            for future in waiters:
                if not future.done():
                    future.set_result(None)

    async def _send_file_pieces(self, file: BinaryIO, offset: int, count: int) -> None:
        """Without help of the kernel: read in a thread, a piece at a time, as fast as the client takes them."""
        loop = self._service.loop
        file.seek(offset)
        while count:
            piece = await loop.run_in_executor(None, file.read, min(count, FILE_PIECE_BYTES))
            if not piece:
                raise LocalProtocolError("the file became shorter while it was sent")
            count -= len(piece)
            if self._machine.writing != WRITE_BODY:
                raise ClientDisconnected("the client has disconnected")
            self._host.write(piece)
            if not self.is_writable:
                await self.drain()
