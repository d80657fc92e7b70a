"""What addax accepts, h11 accepts too and understands the same; so does llhttp, wherever it accepts it.

Two programs that disagree about where a request ends, or what it says, are how requests are smuggled (RFC 9112 §11.2).
Where h11 refuses what addax takes, that is an explained exception in ``libraries.py``, or a finding.
"""

from __future__ import annotations

from hypothesis import example, given

from addax.core.settings import Http1Settings
from tests.parsers import USABLE_PARSERS

from .driving import Drive, Message
from .libraries import H11_REFUSES, LLHTTP_REFUSES, REFUSES, Understood, as_h11_has_it, by_h11, by_llhttp
from .profile import fuzz
from .wire import Messages, streams


def accepted(data: bytes) -> list[Message]:
    """The complete messages that addax takes, with the bytes at which they end."""
    drive = Drive(USABLE_PARSERS[0], Http1Settings())
    drive.run([data[place : place + 1] for place in range(len(data))])
    return [message for message in drive.messages if message.is_complete]


def as_understood(message: Message, start: int) -> Understood:
    method, target, minor, headers = message.head
    return method.encode(), target, f"1.{minor}", list(headers), message.body, message.end - start


@fuzz(500)
@example([b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1 ; a\r\na\r\n0\r\n\r\n"])
@example([b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"])
@given(streams())
def test_libraries_understand_the_same(messages: Messages) -> None:
    data = b"".join(messages)
    start = 0
    for message in accepted(data):
        if data.startswith(b"\r\n", start):
            # RFC 9112 §2.2: one empty line before a request is ignored. h11 takes none.
            start += 2
        rest = data[start:]
        ours = as_understood(message, start)
        sent = data[start : message.end]
        theirs = by_h11(rest)
        if theirs == REFUSES:
            assert any(pattern.search(sent) for pattern in H11_REFUSES.values()), f"h11 refuses {sent!r}"
        else:
            assert theirs == as_h11_has_it(ours)
        theirs = by_llhttp(rest)
        if theirs == REFUSES:
            assert any(pattern.search(sent) for pattern in LLHTTP_REFUSES.values()), f"llhttp refuses {sent!r}"
        else:
            assert theirs == ours
        start = message.end
