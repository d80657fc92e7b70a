"""Drives a parser as a connection does, and writes down what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from addax.core.errors import RemoteProtocolError
from addax.core.headers import UPGRADE, RequestHead, read_request_head
from addax.core.registry import PARSERS, resolve
from addax.core.settings import Http1Settings
from addax.core.target import parse_target
from addax.core.types import Headers
from addax.http1.parser import UPGRADED

#: Everything that a parser said about a stream, in a form that does not depend on the pieces.
Outcome: TypeAlias = list[Any]


def parser_class(name: str) -> Any:
    """The class behind ``--http name``."""
    return resolve("--http", name, PARSERS)[1]


@dataclass
class Heard:
    """One message as the handler was told of it.

    Attributes:
        head: method, target, minor version, field lines.
        body: so far.
        is_complete: whether its end was told.
    """

    head: tuple[str, bytes, int, tuple[tuple[bytes, bytes], ...]]
    body: bytes = b""
    is_complete: bool = False


class Handler:
    """Fills ``ParserHandler``; decides as the connection does.

    Args:
        upgrades: whether a request to upgrade is granted.
    """

    def __init__(self, upgrades: bool = False) -> None:
        self.messages: list[Heard] = []
        self.is_upgraded = False
        self._upgrades = upgrades

    @property
    def is_message_over(self) -> bool:
        return bool(self.messages) and self.messages[-1].is_complete

    def on_head(
        self, method: str, target: bytes, minor: int, headers: Headers, known: RequestHead | None
    ) -> RequestHead:
        assert not self.messages or self.messages[-1].is_complete, "a head inside of a message"
        head = read_request_head(minor, headers)
        assert known in (None, head), "remembered for another head"
        parse_target(method, target)
        self.messages.append(Heard((method, target, minor, tuple(headers))))
        # An application may do the same, and the next request must not see it.
        headers.clear()
        if self._upgrades and head[1] & UPGRADE:
            self.is_upgraded = True
            return UPGRADED, head[1]
        self.messages[-1].is_complete = head[0] == 0
        return head

    def on_body(self, chunk: bytes) -> None:
        assert type(chunk) is bytes, chunk
        assert chunk
        assert not self.messages[-1].is_complete
        self.messages[-1].body += chunk

    def on_end(self) -> None:
        assert not self.messages[-1].is_complete, "two ends"
        self.messages[-1].is_complete = True


def drive(
    name: str, pieces: list[bytes], settings: Http1Settings, *, lag: int = 0, upgrades: bool = False
) -> Outcome:
    """Feed pieces to a parser.

    Args:
        name: of the parser.
        pieces: none is empty.
        settings: bounds.
        lag: how many further pieces come before a request is answered and the next may be looked at.
        upgrades: grant upgrades.

    Returns:
        The messages, then what ended it: the status of the error, the bytes after an upgrade, or what is left.

    Raises:
        AssertionError: the parser broke its contract.
    """
    handler = Handler(upgrades)
    parser = parser_class(name)(handler, settings)
    try:
        ending = _feed_all(parser, handler, pieces, lag)
    except RemoteProtocolError as error:
        assert error.status in (400, 414, 417, 431, 501, 505), error.status
        ending = ("refused", error.status)
    return [*[(heard.head, heard.body, heard.is_complete) for heard in handler.messages], ending]


def _feed_all(parser: Any, handler: Handler, pieces: list[bytes], lag: int) -> Any:
    waited = 0
    for number, piece in enumerate(pieces):
        if handler.is_message_over:
            parser.keep(piece)
        else:
            parser.feed(piece)
        if handler.is_upgraded:
            return "upgraded", parser.detach() + b"".join(pieces[number + 1 :])
        waited += 1
        if waited > lag:
            waited = 0
            if _answer_all(parser, handler):
                return "upgraded", parser.detach() + b"".join(pieces[number + 1 :])
    if _answer_all(parser, handler):
        return "upgraded", parser.detach()
    return "waiting", parser.is_inside_message, parser.pending_bytes


def _answer_all(parser: Any, handler: Handler) -> bool:
    """Go on until nothing that has come is left to be looked at; whether the last of it was an upgrade."""
    while handler.is_message_over and parser.pending_bytes:
        before = len(handler.messages)
        parser.next_message()
        if handler.is_upgraded:
            return True
        if len(handler.messages) == before:
            break
    if handler.is_message_over and not parser.pending_bytes:
        handler.messages.append(_NOTHING_YET)
        handler.messages.pop()
    return False


_NOTHING_YET = Heard(("", b"", 0, ()), is_complete=True)
