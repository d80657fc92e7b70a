"""The numbers of both cycles, in a module of their own: compiled modules keep C copies of them."""

from __future__ import annotations

# How far the response is.
EXPECT_START = 0
EXPECT_BODY = 1
EXPECT_TRAILERS = 2
ENDED = 3

# How far the request body is.
BODY_ARRIVING = 0
BODY_COMPLETE = 1
BODY_DELIVERED = 2

# What is known of the client. LEAVING: the server stops, or the client sends no more, so that ``receive`` says
# ``http.disconnect`` while what is sent may still arrive.
CLIENT_THERE = 0
CLIENT_LEAVING = 1
CLIENT_GONE = 2

# How far a WebSocket is. DENYING: the handshake is being answered with an ordinary response. CLOSING: nothing more can
# be sent, because one side has said so. WS_ENDED: the peer's side is over too, or was never opened.
CONNECTING = 0
OPEN = 1
DENYING = 2
CLOSING = 3
WS_ENDED = 4
