"""THE state of an HTTP/1.1 connection: how far the request was read, how far the response was written, and whether the
connection may be used again. No I/O, no bytes; ``connection.py`` asks and tells.

======== ============================================== ======= ===============================================
Reading  the request                                    Writing the response
======== ============================================== ======= ===============================================
IDLE     no head yet                                    IDLE    nothing of it is on the wire
BODY     head read, body on its way                     BODY    head on the wire
DONE     read to its end                                DONE    written to its end
CLOSED   nothing is read any more                       CLOSED  nothing is written any more
======== ============================================== ======= ===============================================

Both sides DONE and ``keep_alive`` still true: the pair goes back to IDLE, IDLE and the next message may be looked at. A
connection is never used again unless the request's body was framed to its end and read (RFC 9112 §9.3).
"""

from __future__ import annotations

from addax.http1.states import (
    READ_BODY,
    READ_CLOSED,
    READ_DONE,
    READ_IDLE,
    WRITE_BODY,
    WRITE_CLOSED,
    WRITE_DONE,
    WRITE_IDLE,
)


class StateError(AssertionError):
    """An event came in a state in which it cannot come: a bug of addax, whatever the peer or the application did."""


class Machine:
    """Two states and a flag; see the module's table. Every method is one event."""

    __slots__ = ("keep_alive", "reading", "writing")

    def __init__(self) -> None:
        self.reading = READ_IDLE
        self.writing = WRITE_IDLE
        self.keep_alive = True

    # ---- events of the request

    def head_read(self, has_body: bool, keep_alive: bool) -> None:
        """A request head was accepted."""
        if self.reading != READ_IDLE or self.writing != WRITE_IDLE:
            raise StateError(f"head read in {self.reading}, {self.writing}")
        self.reading = READ_BODY if has_body else READ_DONE
        if not keep_alive:
            self.keep_alive = False

    def request_read(self) -> None:
        """The last byte of the request was read."""
        if self.reading == READ_BODY:
            self.reading = READ_DONE
        elif self.reading != READ_DONE:
            raise StateError(f"request ended in {self.reading}")

    def stop_reading(self) -> None:
        """Nothing of what comes from now on will be looked at: an error, an end of file, a close."""
        self.reading = READ_CLOSED
        self.keep_alive = False

    # ---- events of the response

    def head_written(self) -> None:
        """The response head went to the wire, and the body will follow."""
        if self.writing != WRITE_IDLE:
            raise StateError(f"head written in {self.writing}")
        self.writing = WRITE_BODY

    def response_written(self) -> None:
        """The last byte of the response went to the wire."""
        if self.writing != WRITE_BODY:
            raise StateError(f"response ended in {self.writing}")
        self.writing = WRITE_DONE

    def whole_response_written(self) -> None:
        """Head and body went to the wire in one piece."""
        if self.writing != WRITE_IDLE:
            raise StateError(f"whole response in {self.writing}")
        self.writing = WRITE_DONE

    def stop_writing(self) -> None:
        """Nothing is written any more: aborted, lost, or closing."""
        self.writing = WRITE_CLOSED
        self.keep_alive = False

    # ---- both

    def forbid_reuse(self) -> None:
        """This is the last exchange of the connection."""
        self.keep_alive = False

    def is_idle(self) -> bool:
        """Between two exchanges, or before the first."""
        return self.reading == READ_IDLE and self.writing == WRITE_IDLE

    def can_answer(self) -> bool:
        """Whether nothing of a response is on the wire, so that an error can still be told."""
        return self.writing == WRITE_IDLE

    def can_take_next(self) -> bool:
        """Whether the exchange is over and another may begin."""
        return self.reading == READ_DONE and self.writing == WRITE_DONE and self.keep_alive

    def take_next(self) -> bool:
        """Begin another exchange.

        Returns:
            False if this one is not over, or was the last; nothing changed then.
        """
        if self.reading != READ_DONE or self.writing != WRITE_DONE or not self.keep_alive:
            return False
        self.reading = READ_IDLE
        self.writing = WRITE_IDLE
        return True
