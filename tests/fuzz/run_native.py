"""The native parser says of every stream, however it is cut, exactly what plain Python says: calls, statuses, reasons.

    python -m tests.fuzz.run_native --cases 1000000
    python -m tests.fuzz.run_native --seed 7 --seconds 60 --parser httptools

A case is a stream in pieces: requests that are right or nearly right, rows of the wire corpus with bytes changed, heads
full of known names and values, and noise. One number gives the same cases again, on every machine. Some of the streams
also go to h11 and llhttp; each disagreement with them is counted under the reason that addax gives, with the section of
the RFC that asks for it, and one that has no such reason is a finding.

Ends with exit code 1 at the first finding, and prints what plays it again.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from addax.core.errors import RemoteProtocolError
from addax.core.fields import WEBSOCKET
from addax.core.headers import RequestHead, read_request_head
from addax.core.registry import PARSERS, resolve
from addax.core.settings import Http1Settings
from addax.core.target import parse_target
from addax.core.types import Headers
from addax.http1.parser import UPGRADED, ParserHandler
from tests.conformance.wire_corpus import CASES

from . import wire
from .libraries import (
    H11_REFUSES,
    LLHTTP_REFUSES,
    REFUSES,
    STRICTER,
    WAITS,
    Understood,
    as_h11_has_it,
    by_h11,
    by_llhttp,
)
from .plain import PlainParser

BOUNDS = (
    Http1Settings(),
    Http1Settings(),
    Http1Settings(),
    Http1Settings(head_max_bytes=120, request_line_max_bytes=40, header_max_count=4),
    Http1Settings(head_max_bytes=60, request_line_max_bytes=80, header_max_count=3),
    Http1Settings(header_max_count=3),
    Http1Settings(head_max_bytes=4000, request_line_max_bytes=100, header_max_count=300),
)
#: A stream up to this size may come in single bytes.
SINGLE_BYTES_MAX = 600
NAMES = (
    b"host connection content-length content-type accept accept-encoding accept-language user-agent cookie te via dnt"
    b" sec-fetch-dest sec-fetch-mode sec-ch-ua upgrade-insecure-requests cache-control x-forwarded-for"
    b" x-forwarded-proto authorization if-none-match x-a abc accept-encodinh access-control-request-headers"
    b" sec-websocket-extensions a-name-that-is-longer-than-any-known-one-is proxy-connection"
    b" proxy-authorization forwarded expect upgrade"
).split()
VALUES = (
    *b"*/* keep-alive close gzip ?0 ?1 1 document navigate none cors no-cache max-age=0 chunked h 127.0.0.1:80".split(),
    b"gzip, deflate, br",
    b"gzip, deflate, br, zstd",
    b"en-GB,en;q=0.9",
    b"",
    b"x" * 15,
    b"x" * 16,
    b"x" * 17,
    b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    b"\t\x80\xff tab and obs-text \t end",
)
SPACES = (b" ", b" ", b" ", b" ", b"", b"  ", b"\t", b" \t ")


class Recorder(ParserHandler):
    """A handler that decides as the connection does, and notes every call."""

    __slots__ = ("_upgrades", "events", "is_busy", "is_upgraded")

    def __init__(self, upgrades: bool) -> None:
        self.events: list[Any] = []
        #: A request is complete and not answered yet.
        self.is_busy = False
        self.is_upgraded = False
        self._upgrades = upgrades

    def on_head(
        self, method: str, target: bytes, minor: int, headers: Headers, known: RequestHead | None
    ) -> RequestHead:
        assert not self.is_busy
        assert type(headers) is list
        meaning = read_request_head(minor, headers)
        assert known is None or known == meaning, "remembered for another head"
        parse_target(method, target)
        self.events.append((method, target, minor, headers[:]))
        # An application may do the same, and the next request must not see it.
        headers.clear()
        if self._upgrades and meaning[1] & WEBSOCKET:
            self.is_upgraded = True
            return UPGRADED, meaning[1]
        self.is_busy = meaning[0] == 0
        return meaning

    def on_body(self, chunk: bytes) -> None:
        assert type(chunk) is bytes
        assert chunk
        assert not self.is_busy
        self.events.append(chunk)

    def on_end(self) -> None:
        self.events.append("end")
        self.is_busy = True


@dataclass(frozen=True)
class FuzzCase:
    """A stream, its pieces, and how it is played."""

    data: bytes
    pieces: list[bytes]
    settings: Http1Settings
    #: How many further pieces come before a request is answered.
    lag: int
    upgrades: bool


def play(parser_class: Any, case: FuzzCase) -> list[Any]:
    """Every call of the parser, with the number of the piece at which a message was answered; and how it ended."""
    recorder = Recorder(case.upgrades)
    events = recorder.events
    parser = parser_class(recorder, case.settings)
    waited = 0
    try:
        for piece in case.pieces:
            if recorder.is_busy:
                waited += 1
                parser.keep(piece)
            else:
                waited = 0
                parser.feed(piece)
            while recorder.is_busy and waited >= case.lag:
                recorder.is_busy = False
                events.append((parser.pending_bytes, parser.is_inside_message))
                if parser.pending_bytes:
                    parser.next_message()
        events.append((parser.pending_bytes, parser.is_inside_message))
        if recorder.is_upgraded:
            events.append(parser.detach())
    except RemoteProtocolError as error:
        events.append((error.status, str(error)))
    return events


# ---- cases


class Maker:
    """Makes cases, always the same ones for one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._corpus = [case.data for case in CASES if 0 < len(case.data) <= 3000]

    def make(self) -> FuzzCase:
        """The next one."""
        rng = self._random
        kind = rng.random()
        if kind < 0.35:
            messages = [self._request() for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        elif kind < 0.65:
            messages = [rng.choice(self._corpus) for _ in range(rng.choice((1, 1, 2)))]
        elif kind < 0.95:
            messages = [self._rich_head() for _ in range(rng.choice((1, 1, 2)))]
        else:
            messages = [rng.randbytes(rng.randrange(1, 80))]
        if rng.random() < 0.2:
            messages *= 2
        if rng.random() < 0.4:
            place = rng.randrange(len(messages))
            messages[place] = self._damage(messages[place])
        settings = rng.choice(BOUNDS)
        return FuzzCase(
            b"".join(messages), self._cut(messages), settings, rng.choice((0, 0, 0, 1, 2)), rng.random() < 0.1
        )

    def _mostly(self, usual: Sequence[bytes], odd: Sequence[bytes]) -> bytes:
        return self._random.choice(usual if self._random.random() < 0.95 else odd)

    def _request(self) -> bytes:
        rng = self._random
        lines = [self._mostly(wire.FIELDS, wire.ODD_FIELDS) for _ in range(rng.randrange(5))]
        lines.insert(rng.randrange(len(lines) + 1), b"Host: h")
        body = b""
        framing = rng.random()
        if framing < 0.3:
            lines.append(b"Transfer-Encoding: chunked")
            body = self._chunks()
        elif framing < 0.5:
            body = rng.randbytes(rng.randrange(40))
            lines.append(b"Content-Length: %d" % len(body))
        start = b" ".join(
            (
                self._mostly(wire.METHODS, wire.ODD_METHODS),
                self._mostly(wire.TARGETS, wire.ODD_TARGETS),
                self._mostly(wire.VERSIONS, wire.ODD_VERSIONS),
            )
        )
        return b"\r\n".join((start, *lines, b"", body))

    def _chunks(self) -> bytes:
        rng = self._random
        parts = []
        for _ in range(rng.randrange(5)):
            if rng.random() < 0.05:
                parts.append(rng.choice(wire.ODD_CHUNKS))
                continue
            data = rng.randbytes(rng.choice((1, 2, 9, 10, 16, 40, 255)))
            size = rng.choice((b"%x", b"%X", b"0%x", b"%015x")) % len(data)
            if rng.random() < 0.1:
                size = rng.choice(wire.SIZE_LINES) % size
            parts.append(size + b"\r\n" + data + b"\r\n")
        parts.append(self._mostly((b"0\r\n", b"000;x\r\n"), (b"0\n", b"")))
        parts += [self._mostly(wire.TRAILERS, wire.ODD_TRAILERS) for _ in range(rng.choice((0, 0, 0, 1, 2)))]
        return b"".join((*parts, b"\r\n"))

    def _rich_head(self) -> bytes:
        """With names in any case, many values, and a long or odd one among them."""
        rng = self._random
        count = rng.choice((1, 3, 8, 15, 15, 15)) if rng.random() < 0.995 else rng.choice((255, 256, 257, 300, 301))
        lines = []
        for _ in range(count):
            name = rng.choice(NAMES)
            style = rng.random()
            if style < 0.5:
                name = name.title()
            elif style < 0.7:
                name = bytes(byte ^ 0x20 if 0x61 <= byte <= 0x7A and rng.random() < 0.5 else byte for byte in name)
            value = rng.choice(VALUES)
            if rng.random() < 0.1:
                value = bytes(rng.choices(b"abcdefgh\x80\xff\t ", k=rng.randrange(100)))
            lines.append(b"%b:%b%b%b\r\n" % (name, rng.choice(SPACES), value, rng.choice((b"", b"", b"", b" ", b"\t"))))
        # Most names of the list may come once only, so one that is all right is put together now and then.
        if rng.random() < 0.75:
            lines = [line for line in lines if line[:3].lower() in (b"acc", b"use", b"sec", b"coo", b"dnt", b"x-a")]
            lines.append(b"hOST: %b\r\n" % rng.choice((b"h", b"h", b"127.0.0.1:8000")))
        target = b"/" + b"a" * rng.choice((0, 1, 5, 14, 15, 16, 17, 40, 300))
        return b"".join((rng.choice((b"GET ", b"GET ", b"HEAD ")), target, b" HTTP/1.1\r\n", *lines, b"\r\n"))

    def _damage(self, message: bytes) -> bytes:
        rng = self._random
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            place = rng.randrange(len(message) + 1)
            old = message[place : place + rng.randrange(4)]
            how = rng.randrange(5)
            if how == 0:
                new = old * 2
            elif how == 1:
                new = b""
            elif how == 2:
                new = bytes((rng.randrange(256),))
            else:
                new = rng.choice(wire.TROUBLE)
            message = message[:place] + new + message[place + len(old) :]
        return message

    def _cut(self, messages: list[bytes]) -> list[bytes]:
        rng = self._random
        data = b"".join(messages)
        how = rng.random()
        if not data:
            return []
        if how < 0.35:
            return [data]
        if how < 0.6:
            return [message for message in messages if message]
        if how < 0.7 and len(data) <= SINGLE_BYTES_MAX:
            return [data[place : place + 1] for place in range(len(data))]
        marks = sorted({0, len(data), *(rng.randrange(len(data) + 1) for _ in range(rng.choice((1, 2, 5))))})
        return [data[start:end] for start, end in itertools.pairwise(marks)]


# ---- the libraries


@dataclass
class Tally:
    """What was done, and how addax and the libraries disagreed."""

    cases: int = 0
    refused: int = 0
    messages: int = 0
    compared: int = 0
    disagreements: Counter[str] = field(default_factory=Counter)


class Finding(Exception):
    """What should not be."""


def compare_with_libraries(data: bytes, tally: Tally) -> None:
    """Hold what the plain parser says of the first message against h11 and llhttp."""
    if data.startswith(b"\r\n"):
        # RFC 9112 §2.2: one empty line before a request is ignored. h11 takes none.
        data = data[2:]
    if not data or data.startswith(b"\r\n"):
        # More than one is refused, and the parser would take this one for the first.
        return
    events, length = first_message(data)
    tally.compared += 1
    if isinstance(length, str):
        section = STRICTER.get(length)
        for name, theirs in (("h11", by_h11(data)), ("llhttp", by_llhttp(data))):
            if isinstance(theirs, tuple):
                if section is None:
                    raise Finding(f"{name} takes what addax refuses without a section: {length}")
                tally.disagreements[f"{name} takes it; addax: {length} ({section})"] += 1
        return
    for name, theirs in (("h11", by_h11(data)), ("llhttp", by_llhttp(data))):
        if length == 0:
            if isinstance(theirs, tuple):
                raise Finding(f"{name} takes what addax waits for")
            continue
        method, target, minor, headers = events[0]
        body = b"".join(event for event in events[1:] if isinstance(event, bytes))
        ours: Understood = (method.encode(), target, f"1.{minor}", headers, body, length)
        if theirs == WAITS:
            raise Finding(f"{name} waits for more of a message that addax takes")
        if theirs == REFUSES:
            tally.disagreements[f"{name} refuses it; {why_refused(name, data[:length])}"] += 1
            continue
        if theirs == (as_h11_has_it(ours) if name == "h11" else ours):
            continue
        if name == "llhttp" and is_upgrade(headers) and theirs[:4] == ours[:4]:
            tally.disagreements["llhttp ends an upgrade at its head; addax takes the body too (RFC 9110 §7.8)"] += 1
            continue
        raise Finding(f"{name} understands {theirs!r}, addax {ours!r}")


def is_upgrade(headers: Headers) -> bool:
    """Whether llhttp takes this for the last request of HTTP/1.1 on its connection."""
    return {b"upgrade", b"connection"}.issubset(name for name, _ in headers)


def why_refused(name: str, sent: bytes) -> str:
    """Why addax takes what a library refuses."""
    for reason, pattern in (H11_REFUSES if name == "h11" else LLHTTP_REFUSES).items():
        if pattern.search(sent):
            return reason
    raise Finding(f"{name} refuses what addax takes: {sent!r}")


def first_message(data: bytes) -> tuple[list[Any], int | str]:
    """The calls for the first message; and its length, 0 if it is not complete, or the reason of its refusal."""
    recorder = Recorder(False)
    parser: Any = PlainParser(recorder, Http1Settings())
    try:
        parser.feed(data)
    except RemoteProtocolError as error:
        return recorder.events, str(error)
    return recorder.events, len(data) - parser.pending_bytes if recorder.is_busy else 0


# ---- the run


def run(parser_class: Any, seed: int, cases: int, seconds: float, libraries_every: int) -> Tally:
    """Play cases until there were enough of them or the time is up.

    Raises:
        Finding: there is a difference.
    """
    tally = Tally()
    maker = Maker(seed)
    end = time.monotonic() + seconds
    while tally.cases < cases and (tally.cases % 256 or time.monotonic() < end):
        case = maker.make()
        if not case.data:
            continue
        tally.cases += 1
        expected = play(PlainParser, case)
        try:
            got = play(parser_class, case)
        except Exception as error:
            got = [error]
        if got != expected:
            raise Finding(f"case {tally.cases} of seed {seed}\n{case}\nexpected {expected}\n     got {got}")
        last = expected[-1]
        tally.refused += isinstance(last, tuple) and isinstance(last[1], str)
        tally.messages += sum(1 for event in expected if isinstance(event, tuple) and len(event) == 4)
        if tally.cases % libraries_every == 0:
            try:
                compare_with_libraries(case.data, tally)
            except Finding as finding:
                raise Finding(f"case {tally.cases} of seed {seed}\n{case.data!r}\n{finding}") from None
    return tally


def main() -> None:
    """Run, and print what was found."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--cases", type=int, default=1_000_000, help="how many; default: %(default)s")
    arguments.add_argument("--seconds", type=float, default=3600, help="stop after this time; default: %(default)s")
    arguments.add_argument("--seed", type=int, default=1, help="which cases; default: %(default)s")
    arguments.add_argument("--parser", default="native", choices=list(PARSERS), help="default: %(default)s")
    arguments.add_argument("--libraries-every", type=int, default=20, help="which cases h11 and llhttp get too")
    options = arguments.parse_args()
    parser_class = resolve("--parser", options.parser, PARSERS)[1]
    start = time.monotonic()
    try:
        tally = run(parser_class, options.seed, options.cases, options.seconds, options.libraries_every)
    except Finding as finding:
        sys.exit(f"FOUND: {finding}")
    print(
        f"{tally.cases:,} cases, {tally.messages:,} heads accepted, {tally.refused:,} streams refused, no difference "
        f"between {options.parser} and plain Python; {time.monotonic() - start:.0f} s"
    )
    print(f"{tally.compared:,} of them compared with h11 and llhttp; disagreements:")
    for reason, count in tally.disagreements.most_common():
        print(f"{count:9,}  {reason}")


if __name__ == "__main__":
    main()
