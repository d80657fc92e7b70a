"""Status lines, ready-made as bytes for every code that HTTP has.

Implements: RFC 9112 §4 (status-line), RFC 9110 §15 (codes and phrases).
"""

from __future__ import annotations

from http import HTTPStatus

#: Reason phrases by code; unknown codes have an empty one, which RFC 9112 §4 allows.
PHRASES: dict[int, str] = {status.value: status.phrase for status in HTTPStatus}
# The standard library renamed these between Python versions; the wire should not depend on that.
PHRASES.update(
    {413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
)

#: Status lines with their line ends, for example ``b"HTTP/1.1 200 OK\\r\\n"``.
STATUS_LINES: dict[int, bytes] = {
    code: b"HTTP/1.1 %d %b\r\n" % (code, PHRASES.get(code, "").encode("ascii")) for code in range(100, 600)
}


def may_have_body(status: int) -> bool:
    """Whether a response of this status can have content (RFC 9110 §6.4.1)."""
    return status >= 200 and status != 204 and status != 304
