"""THE state of an open WebSocket: who has said close, and what may still be sent. No I/O, no bytes; ``connection.py``
asks and tells.

============= ==================================================================== =================================
State         what has happened                                                    next
============= ==================================================================== =================================
OPEN          nobody has said close
WE_CLOSED     our close frame is on the wire; the peer's is awaited for a while    the peer's, or the end of that time
PEER_CLOSED   the peer's close frame came, and was not answered yet                our answer, at once
FINISHED      both were exchanged, or one side gave up: the connection is closed
============= ==================================================================== =================================

Implements: RFC 6455 §5.5.1 (close), §7 (closing the connection).
"""

from __future__ import annotations

from addax.websocket.codes import ABNORMAL
from addax.websocket.states import FINISHED, OPEN, PEER_CLOSED, WE_CLOSED


class StateError(AssertionError):
    """An event came in a state in which it cannot come: a bug of addax, whatever the peer or the application did."""


class CloseMachine:
    """One state and the code that the WebSocket ended with; see the module's table. Every method is one event."""

    __slots__ = ("code", "state")

    def __init__(self) -> None:
        self.state = OPEN
        #: Of the first close frame, whoever sent it: what the WebSocket ended with (RFC 6455 §7.1.5). 1006 if none was.
        self.code = ABNORMAL

    def can_send(self) -> bool:
        """Whether messages and pings may be sent: not after our close frame (RFC 6455 §5.5.1), nor after the peer's."""
        return self.state == OPEN

    def close_sent(self, code: int) -> bool:
        """Our close frame goes to the wire.

        Returns:
            Whether the peer's is awaited; else the handshake is complete.
        """
        if self.state == OPEN:
            self.state = WE_CLOSED
            self.code = code
            return True
        if self.state == PEER_CLOSED:
            self.state = FINISHED
            return False
        raise StateError(f"a close frame is sent in {self.state}")

    def close_received(self, code: int) -> bool:
        """The peer's close frame came.

        Returns:
            Whether it has to be answered.
        """
        if self.state == OPEN:
            self.state = PEER_CLOSED
            self.code = code
            return True
        if self.state == WE_CLOSED:
            self.state = FINISHED
            return False
        raise StateError(f"a close frame is received in {self.state}")

    def give_up(self) -> None:
        """The connection is lost, or closed without waiting for the peer."""
        self.state = FINISHED
