"""Numbers of the protocol, in a module of their own: compiled modules keep C copies of them.

Implements: RFC 6455 §5.2 (opcodes), §7.4.1 (close codes), and the IANA registry of close codes.
"""

from __future__ import annotations

# ---- opcodes

CONTINUATION = 0x0
TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA

# ---- close codes

NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
UNSUPPORTED_DATA = 1003
#: Never on the wire: a close frame without a code.
NO_STATUS = 1005
#: Never on the wire: the connection was lost without a close frame.
ABNORMAL = 1006
INVALID_DATA = 1007
POLICY_VIOLATION = 1008
TOO_BIG = 1009
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012

#: Longest payload of a control frame, in bytes (RFC 6455 §5.5).
CONTROL_MAX_BYTES = 125
#: Longest reason of a close frame, in bytes: what is left beside the code.
REASON_MAX_BYTES = CONTROL_MAX_BYTES - 2
