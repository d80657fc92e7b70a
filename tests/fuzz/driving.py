"""Drives a parser as a connection does, and writes down what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from addax.core.errors import RemoteProtocolError
from addax.core.fields import WEBSOCKET
from addax.core.headers import RequestHead, read_request_head
from addax.core.registry import PARSERS, resolve
from addax.core.settings import Http1Settings
from addax.core.target import parse_target
from addax.core.types import Headers
from addax.http1.parser import UPGRADED, ParserHandler

#: Method, target, minor version, and field lines.
Head: TypeAlias = tuple[str, bytes, int, tuple[tuple[bytes, bytes], ...]]


@dataclass
class Message:
    """One request as the handler was told of it; ``end`` is how many bytes had been fed when it was complete."""

    head: Head
    body: bytes = b""
    is_complete: bool = False
    end: int = 0


class Handler(ParserHandler):
    """Fills ``ParserHandler`` and decides as the connection does.

    Args:
        upgrades: whether a request to upgrade is granted.
    """

    def __init__(self, upgrades: bool = False) -> None:
        super().__init__()
        self.messages: list[Message] = []
        #: A request is complete and not answered yet.
        self.is_busy = False
        self.is_upgraded = False
        self.fed = 0
        self._upgrades = upgrades

    def on_head(
        self, method: str, target: bytes, minor: int, headers: Headers, known: RequestHead | None
    ) -> RequestHead:
        assert not self.messages or self.messages[-1].is_complete, "a head inside of a message"
        assert not self.is_busy, "a request was looked at before the one before it was answered"
        meaning = read_request_head(minor, headers)
        assert known in (None, meaning), "remembered for another head"
        parse_target(method, target)
        self.messages.append(Message((method, target, minor, tuple(headers))))
        # An application may do the same, and the next request must not see it.
        headers.clear()
        if self._upgrades and meaning[1] & WEBSOCKET:
            self.is_upgraded = True
            return UPGRADED, meaning[1]
        if meaning[0] == 0:
            self._complete()
        return meaning

    def on_body(self, chunk: bytes) -> None:
        assert type(chunk) is bytes
        assert chunk
        assert not self.messages[-1].is_complete
        self.messages[-1].body += chunk

    def on_end(self) -> None:
        assert not self.messages[-1].is_complete, "two ends"
        self._complete()

    def _complete(self) -> None:
        self.messages[-1].is_complete = True
        self.messages[-1].end = self.fed
        self.is_busy = True


class Drive:
    """One parser and what it says about a stream.

    Args:
        name: of the parser, as for ``--http``.
        settings: bounds.
        upgrades: grant upgrades.

    Attributes:
        messages: what was understood so far.
        ending: what is left: the status of an error, the bytes after an upgrade, or the state of the parser.
    """

    def __init__(self, name: str, settings: Http1Settings, *, upgrades: bool = False) -> None:
        self._handler = Handler(upgrades)
        self._parser: Any = resolve("--http", name, PARSERS)[1](self._handler, settings)
        self.messages = self._handler.messages
        self.ending: tuple[Any, ...] = ()

    def run(self, pieces: list[bytes], lag: int = 0) -> None:
        """Feed pieces, none of which is empty.

        Args:
            pieces: of the stream.
            lag: how many further pieces come before a request is answered and the next may be looked at.

        Raises:
            AssertionError: the parser broke its contract.
        """
        try:
            self._feed_all(pieces, lag)
        except RemoteProtocolError as error:
            self.ending = ("refused", error.status)
            return
        if self._handler.is_upgraded:
            unfed = b"".join(pieces)[self._handler.fed :]
            self.ending = ("upgraded", self._parser.detach() + unfed)
        else:
            self.ending = ("waiting", self._parser.is_inside_message, self._parser.pending_bytes)

    def outcome(self) -> list[Any]:
        """All of it, in a form that does not depend on the pieces."""
        return [*[(message.head, message.body, message.is_complete) for message in self.messages], self.ending]

    def _feed_all(self, pieces: list[bytes], lag: int) -> None:
        handler, parser = self._handler, self._parser
        waited = 0
        for piece in pieces:
            handler.fed += len(piece)
            if handler.is_busy:
                waited += 1
                parser.keep(piece)
            else:
                waited = 0
                parser.feed(piece)
            if waited >= lag:
                self._answer_all()
            if handler.is_upgraded:
                return
        self._answer_all()

    def _answer_all(self) -> None:
        handler, parser = self._handler, self._parser
        while handler.is_busy:
            handler.is_busy = False
            if parser.pending_bytes:
                parser.next_message()


def outcome(
    name: str, pieces: list[bytes], settings: Http1Settings, *, lag: int = 0, upgrades: bool = False
) -> list[Any]:
    """What a parser says about a stream in pieces; see ``Drive``."""
    drive = Drive(name, settings, upgrades=upgrades)
    drive.run(pieces, lag)
    return drive.outcome()
