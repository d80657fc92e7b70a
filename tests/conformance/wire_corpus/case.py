"""What a row of the corpus says: bytes in, and everything that must come of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from addax.core.settings import Http1Settings

#: The connection can take another request, and would answer it.
OPEN = "open"
#: The server has ended the connection, and serves nothing of what follows.
CLOSED = "closed"
#: The bytes are not a whole request yet: nothing wrong so far.
WAITING = "waiting"


DEFAULTS = Http1Settings()


@dataclass(frozen=True)
class Seen:
    """What the application must have seen of one request."""

    method: str = "GET"
    path: str = "/"
    raw_path: bytes | None = None
    query: bytes = b""
    version: str = "1.1"
    body: bytes = b""
    #: For each name: all its values in their order; an empty tuple: the field must not be there.
    fields: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)

    @property
    def expected_raw_path(self) -> bytes:
        return self.path.encode("ascii") if self.raw_path is None else self.raw_path


@dataclass(frozen=True)
class Case:
    """One row.

    ``statuses`` are those of the final responses; ``seen`` the requests whose body the application has read to its end.
    ``eof``: the client half-closes after the bytes. ``may_continue``: a 100 (Continue) may come first; whether it does
    depends on how the bytes were cut (RFC 9110 §10.1.1 lets it out when the body is there already).
    """

    id: str
    section: str
    data: bytes
    statuses: tuple[int, ...]
    seen: tuple[Seen, ...]
    then: str
    eof: bool = False
    may_continue: bool = False
    settings: Http1Settings = DEFAULTS


def get(*lines: bytes) -> bytes:
    """A GET of ``/`` with a Host and these field lines."""
    return request(b"GET / HTTP/1.1", b"Host: h", *lines)


def post(*lines: bytes, body: bytes = b"") -> bytes:
    """A POST to ``/`` with a Host, these field lines, and these bytes after the head."""
    return request(b"POST / HTTP/1.1", b"Host: h", *lines) + body


def request(*lines: bytes) -> bytes:
    """A head of these lines."""
    return b"\r\n".join(lines) + b"\r\n\r\n"


def good(id: str, section: str, data: bytes, *seen: Seen, then: str = OPEN, **more: object) -> Case:
    """Requests that are answered 200 each."""
    return Case(id, section, data, (200,) * len(seen), seen, then, **more)  # type: ignore[arg-type]


def bad(id: str, section: str, data: bytes, status: int, *seen: Seen, **more: object) -> Case:
    """An error, answered once and followed by the end; ``seen`` are the good requests before it."""
    return Case(id, section, data, (200,) * len(seen) + (status,), seen, CLOSED, **more)  # type: ignore[arg-type]


def waiting(id: str, section: str, data: bytes, *seen: Seen, **more: object) -> Case:
    """Bytes that are no whole request yet."""
    return Case(id, section, data, (200,) * len(seen), seen, WAITING, **more)  # type: ignore[arg-type]
