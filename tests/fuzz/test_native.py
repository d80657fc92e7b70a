"""Compiled parsers say of every stream exactly what plain Python says: the same calls, statuses and reasons.

A short run of ``run_native.py``, which also runs for itself and for much longer.
"""

from __future__ import annotations

import gc
import random
import sys
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest

import addax.core
from addax.core.errors import RemoteProtocolError
from addax.core.headers import RequestHead
from addax.core.registry import PARSERS, resolve
from addax.core.settings import Http1Settings
from addax.core.types import Headers
from addax.http1.parser import ParserHandler
from tests.conformance.wire_corpus import CASES
from tests.parsers import USABLE_PARSERS, is_compiled

from .plain import PlainParser
from .run_native import Finding, FuzzCase, Maker, Recorder, play, run

#: A few seconds of them.
CASES_COUNT = 12_000


def parser_class(name: str) -> Any:
    return resolve("--http", name, PARSERS)[1]


@pytest.mark.parametrize("name", USABLE_PARSERS)
def test_parser_agrees_with_plain_python(name: str) -> None:
    tally = run(parser_class(name), seed=20, cases=CASES_COUNT, seconds=60, libraries_every=40)
    assert tally.messages > 4000
    assert tally.refused > 4000
    assert tally.compared > 50 or tally.cases < CASES_COUNT


@pytest.mark.parametrize("name", USABLE_PARSERS)
def test_parser_agrees_on_the_corpus_cut_at_every_byte(name: str) -> None:
    # In plain Python it takes ten times as long, and only the libraries differ from what it is compared with.
    step = 1 if is_compiled() else 4
    for number, row in enumerate(CASES):
        if not 1 < len(row.data) <= 400:
            continue
        for place in range(1 + number % step, len(row.data), step):
            case = FuzzCase(row.data, [row.data[:place], row.data[place:]], row.settings, 0, False)
            assert play(parser_class(name), case) == play(PlainParser, case), (row.id, place)


def test_a_difference_is_found() -> None:
    class Deaf(PlainParser):
        """Takes a few values for others."""

        def cut(self, head: bytes) -> Headers:
            return [(name, value.replace(b"x" * 17, b"")) for name, value in super().cut(head)]

    with pytest.raises(Finding, match=r"case [0-9]+ of seed 3"):
        run(Deaf, seed=3, cases=2000, seconds=60, libraries_every=1000)


def test_one_seed_makes_the_same_cases_again() -> None:
    one, again, other = Maker(5), Maker(5), Maker(6)
    first = [one.make() for _ in range(50)]
    assert [again.make() for _ in range(50)] == first
    assert [other.make() for _ in range(50)] != first


class Forgetful(ParserHandler):
    """A handler that keeps nothing."""

    def on_head(
        self, method: str, target: bytes, minor: int, headers: Headers, known: RequestHead | None
    ) -> RequestHead:
        return 0, 1

    def on_body(self, chunk: bytes) -> None:
        raise NotImplementedError

    def on_end(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("name", USABLE_PARSERS)
def test_references_are_counted_right(name: str) -> None:
    """What is shared between heads is shared for good, and what is made for one goes with it."""
    names = [b"accept", b"User-Agent", b"x-own-%d" % random.Random(1).randrange(10**9)]
    head = (
        b"GET /%b HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n" + b"".join(b"%b: v-1\r\n" % name for name in names) + b"\r\n"
    )
    parser = parser_class(name)(Forgetful(), Http1Settings())

    def feed(count: int) -> int:
        for number in range(count):
            # A target of a new size each time, never the one that is remembered.
            parser.feed(head % (b"t" * (number % 7)))
        gc.collect()
        return sys.getallocatedblocks()

    feed(1000)
    before = feed(1000)
    assert abs(feed(20000) - before) < 200


@pytest.mark.parametrize("name", USABLE_PARSERS)
def test_an_error_of_the_handler_comes_out_as_it_is(name: str) -> None:
    class Refusing(Recorder):
        def on_head(self, *args: Any) -> RequestHead:
            raise RemoteProtocolError("because", 413)

    parser = parser_class(name)(Refusing(False), Http1Settings())
    with pytest.raises(RemoteProtocolError, match="because"):
        parser.feed(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")


@pytest.mark.parametrize("name", USABLE_PARSERS)
def test_what_is_no_bytes_is_a_type_error(name: str) -> None:
    for wrong in (None, "GET / HTTP/1.1\r\n\r\n", 5):
        with pytest.raises((TypeError, AttributeError)):
            parser_class(name)(Recorder(False), Http1Settings()).feed(wrong)


class Remembering(Recorder):
    """Notes what the parser says that it knows."""

    def __init__(self) -> None:
        super().__init__(False)
        self.known: list[RequestHead | None] = []

    def on_head(
        self, method: str, target: bytes, minor: int, headers: Headers, known: RequestHead | None
    ) -> RequestHead:
        self.known.append(known)
        self.is_busy = False
        return super().on_head(method, target, minor, headers, known)


def meaningful_names() -> list[bytes]:
    """The names that ``core.headers`` looks at, but for Host."""
    path = Path(addax.core.__file__ or "").with_name("headers.py")
    return [name for name in run_path(str(path))["_REQUEST_FIELDS"] if name != b"host"]


@pytest.mark.skipif("native" not in USABLE_PARSERS, reason="plain Python: there is no native parser")
def test_native_remembers_a_meaning_only_for_heads_with_nothing_but_a_host() -> None:
    handler = Remembering()
    parser = parser_class("native")(handler, Http1Settings())

    def known(*lines: bytes, version: bytes = b"1.1", host: bytes = b"h") -> RequestHead | None:
        parser.feed(b"\r\n".join((b"GET / HTTP/" + version, b"Host: " + host, *lines, b"", b"")))
        return handler.known[-1]

    assert known() is None
    assert known() == (0, 1)
    assert known(b"X-A: b", b"aCCEPT: */*", b"connection: keep-alive") == (0, 1)
    assert known(version=b"1.0") is None
    assert known(host=b"i") is None
    assert known(host=b"i") == (0, 1)
    names = meaningful_names()
    assert len(names) > 10
    for name in names:
        value = {b"content-length": b"0", b"expect": b"100-continue"}.get(name, b"close")
        if name != b"transfer-encoding":
            assert known(name.title() + b": " + value) is None, name
    with pytest.raises(RemoteProtocolError):
        known(b"Transfer-Encoding: close")
    assert handler.known[-1] is None
    with pytest.raises(RemoteProtocolError):
        known(b"Host: i")
    assert handler.known[-1] is None
