"""Every parser says the same of every stream, however it is cut and however late its requests are answered.

The same means: the same methods, targets, versions, field lines and bodies, the same end of each message, and the same
status of the error that ends the stream. Nothing but ``RemoteProtocolError`` comes out of a parser.
"""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from addax.core.settings import Http1Settings
from tests.parsers import USABLE_PARSERS

from .driving import outcome
from .profile import fuzz
from .wire import Cut, Messages, cut_up, cuts, streams

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
#: What a parser may refuse a stream with.
STATUSES = (400, 414, 417, 431, 501, 505)
BETWEEN: Cut = ([], True, False)

BOUNDS = st.sampled_from(
    [
        Http1Settings(),
        Http1Settings(head_max_bytes=120, request_line_max_bytes=40, header_max_count=4),
        Http1Settings(head_max_bytes=60, request_line_max_bytes=80, header_max_count=3),
        Http1Settings(header_max_count=3),
    ]
)


@fuzz(500)
@example([GET, b"\r\n" + GET, b"\r\n" + GET], BETWEEN, 0, Http1Settings(), False)
@example([GET, b"\r\n", GET, b"\r\n", GET], BETWEEN, 0, Http1Settings(), False)
@given(streams(), cuts(), st.integers(0, 3), BOUNDS, st.booleans())
def test_parsers_agree_however_the_stream_is_cut(
    messages: Messages, cut: Cut, lag: int, settings: Http1Settings, upgrades: bool
) -> None:
    first, *others = USABLE_PARSERS
    expected = outcome(first, cut_up(messages, ([], False, False)), settings, upgrades=upgrades)
    assert expected[-1][0] != "refused" or expected[-1][1] in STATUSES
    pieces = cut_up(messages, cut)
    assert outcome(first, pieces, settings, lag=lag, upgrades=upgrades) == expected
    for name in others:
        assert outcome(name, pieces, settings, lag=lag, upgrades=upgrades) == expected, name


@fuzz(300)
@given(st.lists(st.binary(min_size=1, max_size=80), min_size=1, max_size=4), cuts())
def test_parsers_agree_on_noise(messages: Messages, cut: Cut) -> None:
    settings = Http1Settings(head_max_bytes=60, request_line_max_bytes=50)
    expected = outcome(USABLE_PARSERS[0], [b"".join(messages)], settings)
    for name in USABLE_PARSERS:
        assert outcome(name, cut_up(messages, cut), settings) == expected, name
