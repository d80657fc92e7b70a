"""The numbers of ``headers.py``, in a module of their own: compiled modules keep C copies of them."""

from __future__ import annotations

#: What the body's length of a request head is when the body is chunked. The same number as ``http1.parser.CHUNKED``,
#: which floor 0 cannot import; a test holds them together.
CHUNKED_LENGTH = -1

# ---- flags of a request head

#: The client wants to use the connection again.
KEEP_ALIVE = 1
#: It waits for 100 (Continue) before it sends the body.
EXPECTS_CONTINUE = 2
#: Connection names Upgrade, and Upgrade names websocket.
WEBSOCKET = 4
#: A proxy says something about the client.
FORWARDED = 8

# ---- kinds of response fields

#: Ordinary field; the others are those that the server decides about, or that must not stand twice.
ORDINARY = 0
CONTENT_LENGTH = 1
TRANSFER_ENCODING = 2
CONNECTION = 3
DATE = 4
SERVER = 5

#: Bit, beside ``1 << kind`` of each special kind: the application wants the connection closed.
CLOSES = 1
