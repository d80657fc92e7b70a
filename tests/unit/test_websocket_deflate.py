"""permessage-deflate: the negotiation, and both ends against the libraries' own."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode
from wsproto.extensions import PerMessageDeflate as WsprotoDeflate
from wsproto.frame_protocol import FrameProtocol, RsvBits
from wsproto.frame_protocol import Opcode as WsprotoOpcode

from addax.core.errors import RemoteProtocolError
from addax.websocket import deflate
from addax.websocket.deflate import DeflateParameters, Deflater, Inflater, negotiate

NAME = b"permessage-deflate"
BOUND = 1 << 24


def agreed(offers: bytes) -> DeflateParameters:
    parameters = negotiate(offers)
    assert parameters is not None
    return parameters


def outcome(call: Callable[..., object], *arguments: object) -> object:
    """What the call returns, or the status of its error."""
    try:
        return call(*arguments)
    except RemoteProtocolError as error:
        return error.status


# ---- negotiation


@pytest.mark.parametrize(
    ("offers", "response"),
    [
        # No client_max_window_bits: nothing may be said about the client's window, so it must not be kept.
        (NAME, b"; client_no_context_takeover; server_max_window_bits=12"),
        (NAME + b"; client_max_window_bits", b"; server_max_window_bits=12; client_max_window_bits=12"),
        (NAME + b";client_max_window_bits=15", b"; server_max_window_bits=12; client_max_window_bits=12"),
        (NAME + b"; client_max_window_bits=12", b"; server_max_window_bits=12; client_max_window_bits=12"),
        (NAME + b"; client_max_window_bits=9", b"; server_max_window_bits=12; client_max_window_bits=9"),
        (NAME + b"; client_max_window_bits=8", b"; server_max_window_bits=12; client_max_window_bits=8"),
        (NAME + b'; client_max_window_bits="1\\0"', b"; server_max_window_bits=12; client_max_window_bits=10"),
        (
            NAME + b"; server_max_window_bits=10; client_max_window_bits",
            b"; server_max_window_bits=10; client_max_window_bits=12",
        ),
        (
            NAME + b"; server_max_window_bits=15; client_max_window_bits",
            b"; server_max_window_bits=12; client_max_window_bits=12",
        ),
        (
            NAME + b"; server_max_window_bits=9; client_max_window_bits",
            b"; server_max_window_bits=9; client_max_window_bits=12",
        ),
        (
            NAME + b"; server_no_context_takeover; client_max_window_bits",
            b"; server_no_context_takeover; server_max_window_bits=12; client_max_window_bits=12",
        ),
        (
            NAME + b"; client_no_context_takeover; client_max_window_bits",
            b"; client_no_context_takeover; server_max_window_bits=12; client_max_window_bits=12",
        ),
        (
            NAME
            + b"; client_max_window_bits=11 ;server_no_context_takeover;client_no_context_takeover"
            + b"\t; server_max_window_bits = 11",
            b"; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11"
            b"; client_max_window_bits=11",
        ),
        # The first that can be met.
        (
            NAME + b"; server_max_window_bits=8, " + NAME + b"; client_max_window_bits=10, " + NAME,
            b"; server_max_window_bits=12; client_max_window_bits=10",
        ),
        (
            b'x-other; a; b=c; d="e", , ' + NAME + b"; client_max_window_bits,",
            b"; server_max_window_bits=12; client_max_window_bits=12",
        ),
    ],
)
def test_offer_is_accepted(offers: bytes, response: bytes):
    parameters = agreed(offers)
    assert parameters.response == NAME + response
    assert parameters.server_takeover is (b"server_no_context_takeover" not in response)
    assert parameters.client_takeover is (b"client_no_context_takeover" not in response)
    assert b"server_max_window_bits=%d" % parameters.server_window_bits in response
    if parameters.client_window_bits < 15:
        assert b"client_max_window_bits=%d" % parameters.client_window_bits in response
    else:
        assert b"client_max_window_bits" not in response


@pytest.mark.parametrize(
    "parameters",
    [
        b"; server_max_window_bits=8",
        b"; server_max_window_bits=7",
        b"; server_max_window_bits=16",
        b"; server_max_window_bits=012",
        b"; server_max_window_bits=1_2",
        b"; server_max_window_bits=+9",
        b"; server_max_window_bits=-9",
        b"; server_max_window_bits",
        b"; client_max_window_bits=7",
        b"; client_max_window_bits=16",
        b"; client_max_window_bits=09",
        b"; client_max_window_bits=x",
        b"; server_no_context_takeover=1",
        b'; client_no_context_takeover="true"',
        b"; client_max_window_bits; client_max_window_bits=10",
        b"; client_max_window_bits=10; client_max_window_bits=10",
        b"; server_no_context_takeover; server_no_context_takeover",
        b"; unknown",
        b"; client_max_window_bits; mux=1",
        b"; Client_Max_Window_Bits",
    ],
)
def test_offer_is_passed_over(parameters: bytes):
    assert negotiate(NAME + parameters) is None
    assert agreed(NAME + parameters + b"," + NAME + b"; client_max_window_bits").client_window_bits == 12


@pytest.mark.parametrize(
    "offers", [b"", b" ", b",", b" ,\t, ", b"x-webkit-deflate-frame", b"permessage-bzip2; a=1", b"deflate, x; y"]
)
def test_nothing_that_we_know_is_offered(offers: bytes):
    assert negotiate(offers) is None


@pytest.mark.parametrize(
    "rest",
    [
        b";",
        b"; ;",
        b";, x",
        b"=1",
        b"; a=",
        b"; a==b",
        b"; a=b c",
        b" x",
        b"; a b",
        b'; a="b',
        b'; a="',
        b'; a=b"',
        b'; a=""',
        b'; a="b c"',
        b'; a="b\\',
        b'; a="b\\"',
        b'; a="b,"',
        b'; a="\xe4"',
        b"; \xe4",
        b", \xff",
        b", (x)",
        b"; a=b/c",
        b"; a\x00",
        b"\n",
        b"; client_max_window_bits\x0b",
    ],
)
def test_malformed_field_is_a_bad_request(rest: bytes):
    for value in (NAME + rest, b"x, " + NAME + rest + b", y"):
        with pytest.raises(RemoteProtocolError) as caught:
            negotiate(value)
        assert caught.value.status == 400
    # Behind an offer that is good, too.
    with pytest.raises(RemoteProtocolError):
        negotiate(NAME + b"; client_max_window_bits," + NAME + rest)


def test_a_hostile_field_is_read_in_linear_time():
    for value in (
        NAME + b"; a" * 20000,
        NAME + b" \t" * 30000 + b"\x00",
        b"," * 60000,
        NAME + b'; a="' + b"\\a" * 30000,
        NAME + b";" + b" " * 60000,
        (NAME + b"; unknown,") * 3000,
    ):
        assert outcome(negotiate, value) in (None, 400)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text('permsag-dlft;=", 18_x\\\t', max_size=60).map(str.encode))
def test_any_field_is_read_or_refused_with_400(value: bytes):
    for offers in (value, NAME + b";" + value):
        parameters = outcome(negotiate, offers)
        assert parameters in (None, 400) or isinstance(parameters, DeflateParameters)


#: As ``websockets`` wants them; a client_max_window_bits of True has no value.
OFFERS: list[dict[str, int | bool | None]] = [
    {"server_no_context_takeover": server, "client_no_context_takeover": client} | server_bits | client_bits
    for server in (False, True)
    for client in (False, True)
    for server_bits in ({}, {"server_max_window_bits": 9}, {"server_max_window_bits": 15})
    for client_bits in (
        {"client_max_window_bits": None},
        {"client_max_window_bits": True},
        {"client_max_window_bits": 9},
    )
]


def websockets_client(offer: dict[str, int | bool | None]) -> tuple[PerMessageDeflate, DeflateParameters]:
    """The other end as ``websockets`` makes it of our response."""
    factory = ClientPerMessageDeflateFactory(**offer)
    offered = NAME
    for name, value in factory.get_request_params():
        offered += b"; " + name.encode() + (b"" if value is None else b"=" + value.encode())
    ours = agreed(offered)
    chosen = [
        (name, value or None)
        for name, _, value in (item.strip().partition("=") for item in ours.response.decode().split(";")[1:])
    ]
    theirs = factory.process_response_params(chosen, [])
    assert isinstance(theirs, PerMessageDeflate)
    return theirs, ours


def wsproto_client(offer: dict[str, int | bool | None]) -> tuple[WsprotoDeflate, DeflateParameters]:
    """The other end as ``wsproto`` makes it of our response."""
    theirs = WsprotoDeflate(
        client_no_context_takeover=bool(offer.get("client_no_context_takeover")),
        server_no_context_takeover=bool(offer.get("server_no_context_takeover")),
        client_max_window_bits={True: 15}.get(offer.get("client_max_window_bits"), offer.get("client_max_window_bits")),
        server_max_window_bits=offer.get("server_max_window_bits"),
    )
    offered = theirs.offer()
    ours = agreed(NAME + b"; " + offered.encode() if isinstance(offered, str) and offered else NAME)
    theirs.finalize(ours.response.decode())
    return theirs, ours


def messages() -> list[bytes]:
    """Small, large, alike, random, empty."""
    chosen = random.Random(7)
    words = ["alpha", "price", "user", "message", "room"]
    found = [b"", b"", b"a", b"Hello", b"Hello", bytes(range(256)) * 40, chosen.randbytes(5000), b"", b"\x00" * 100_000]
    for _ in range(40):
        fields = {chosen.choice(words): chosen.random() for _ in range(chosen.randint(1, 30))}
        found.append(json.dumps(fields).encode())
    found.append(chosen.randbytes(70_000) + found[-1] * 50)
    found.extend((b"x" * 4096, b"x" * 4095, b"", b"y" * 9000, b"Hello"))
    return found


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("rests", [False, True])
def test_websockets_reads_what_we_compress_and_we_what_it_does(offer: dict[str, int | bool | None], rests: bool):
    theirs, ours = websockets_client(offer)
    deflater, inflater = Deflater(ours), Inflater(ours)
    for index, message in enumerate(messages()):
        if rests and index % 3 == 0:
            deflater.rest()
            inflater.rest()
        frame = Frame(Opcode.BINARY, deflater.compress(message), rsv1=True)
        assert bytes(theirs.decode(frame).data) == message
        # Given nothing twice, zlib makes nothing of it, and websockets takes that for an empty block with its tail.
        sent = bytes(theirs.encode(Frame(Opcode.BINARY, message)).data) if message else b"\x00"
        assert inflater.inflate(sent, BOUND, True) == message
        # Decided by an earlier message.
        if index % 5 == 0 and sent:
            repeated = bytes(theirs.encode(Frame(Opcode.BINARY, b"again and again")).data)
            assert inflate_in_pieces(inflater, repeated, random.Random(index)) == b"again and again"


@pytest.mark.parametrize("offer", OFFERS)
def test_wsproto_reads_what_we_compress_and_we_what_it_does(offer: dict[str, int | bool | None]):
    theirs, ours = wsproto_client(offer)
    protocol = FrameProtocol(client=True, extensions=[theirs])
    deflater, inflater = Deflater(ours), Inflater(ours)
    for index, message in enumerate(messages()):
        if not message:
            continue
        payload = deflater.compress(message)
        theirs.frame_inbound_header(protocol, WsprotoOpcode.BINARY, RsvBits(True, False, False), len(payload))
        inflated = theirs.frame_inbound_payload_data(protocol, payload)
        assert isinstance(inflated, bytes)
        end = theirs.frame_inbound_complete(protocol, True)
        assert isinstance(end, bytes)
        assert inflated + end == message
        _, sent = theirs.frame_outbound(protocol, WsprotoOpcode.BINARY, RsvBits(False, False, False), message, True)
        assert inflate_in_pieces(inflater, sent, random.Random(index)) == message


def inflate_in_pieces(inflater: Inflater, data: bytes, chosen: random.Random) -> bytes:
    inflated = b""
    position = 0
    while len(data) - position > 1 and chosen.random() < 0.9:
        size = min(chosen.choice((0, 1, 2, 17, 1000, 30_000)), len(data) - position - 1)
        inflated += inflater.inflate(data[position : position + size], BOUND - len(inflated), False)
        position += size
    return inflated + inflater.inflate(data[position:], BOUND - len(inflated), True)


# ---- examples of RFC 7692 §7.2.3

TAKEOVER = NAME + b"; client_max_window_bits"
WITHOUT = TAKEOVER + b"; client_no_context_takeover; server_no_context_takeover"
HELLO = bytes.fromhex("f2 48 cd c9 c9 07 00")


def test_example_one_block():
    assert Inflater(agreed(TAKEOVER)).inflate(HELLO, 5, True) == b"Hello"


def test_example_two_fragments():
    inflater = Inflater(agreed(TAKEOVER))
    begin = inflater.inflate(bytes.fromhex("f2 48 cd"), 5, False)
    assert begin + inflater.inflate(bytes.fromhex("c9 c9 07 00"), 5 - len(begin), True) == b"Hello"


def test_example_shared_window():
    inflater = Inflater(agreed(TAKEOVER))
    assert inflater.inflate(HELLO, 5, True) == b"Hello"
    assert inflater.inflate(bytes.fromhex("f2 00 11 00 00"), 5, True) == b"Hello"


def test_example_shared_window_without_takeover_is_an_error():
    inflater = Inflater(agreed(WITHOUT))
    assert inflater.inflate(HELLO, 5, True) == b"Hello"
    with pytest.raises(RemoteProtocolError) as caught:
        inflater.inflate(bytes.fromhex("f2 00 11 00 00"), 5, True)
    assert caught.value.status == 1007


def test_example_no_compression():
    payload = bytes.fromhex("00 05 00 fa ff 48 65 6c 6c 6f 00")
    assert Inflater(agreed(TAKEOVER)).inflate(payload, 5, True) == b"Hello"


FINAL = bytes.fromhex("f3 48 cd c9 c9 07 00")


@pytest.mark.parametrize("offer", [TAKEOVER, WITHOUT, NAME])
def test_example_final_block(offer: bytes):
    inflater = Inflater(agreed(offer))
    for _ in range(3):
        assert inflater.inflate(FINAL + b"\x00", 5, True) == b"Hello"
        assert inflater.inflate(HELLO, 5, True) == b"Hello"


def test_example_two_blocks():
    payload = bytes.fromhex("f2 48 05 00 00 00 ff ff ca c9 c9 07 00")
    assert Inflater(agreed(TAKEOVER)).inflate(payload, 5, True) == b"Hello"


def test_empty_message():
    deflater = Deflater(agreed(TAKEOVER))
    assert [deflater.compress(b"") for _ in range(2)] == [b"\x00", b"\x00"]
    for offer in (TAKEOVER, WITHOUT):
        inflater = Inflater(agreed(offer))
        for payload in (b"\x00", b"\x02\x00", b"", b"\x03\x00\x00"):
            assert inflater.inflate(payload, 0, True) == b""
        assert inflater.inflate(HELLO, 5, True) == b"Hello"


# ---- final blocks


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 100, 5000])
@pytest.mark.parametrize("offer", [TAKEOVER, WITHOUT])
def test_final_blocks_wherever_the_message_is_cut(offer: bytes, size: int):
    message = b"".join(b"part %d of it all. " % number for number in range(300))
    parts = [message[start : start + 400] for start in range(0, len(message), 400)]
    payload = b""
    for part in parts:
        compressor = zlib.compressobj(6, zlib.DEFLATED, -12)
        payload += compressor.compress(part) + compressor.flush(zlib.Z_FINISH)
    payload += b"\x00"
    inflater = Inflater(agreed(offer))
    for _ in range(2):
        inflated = b""
        for start in range(0, len(payload), size):
            piece = payload[start : start + size]
            inflated += inflater.inflate(piece, len(message) - len(inflated), start + size >= len(payload))
        assert inflated == message


def test_window_reaches_over_a_final_block():
    inflater = Inflater(agreed(TAKEOVER))
    compressor = zlib.compressobj(6, zlib.DEFLATED, -12, zdict=b"what was said")
    refers = compressor.compress(b"what was said") + compressor.flush(zlib.Z_SYNC_FLUSH)[:-4]
    first = zlib.compressobj(6, zlib.DEFLATED, -12)
    final = first.compress(b"what was said") + first.flush(zlib.Z_FINISH)
    assert len(refers) < 8
    # In one message, and from one message to the next.
    assert inflater.inflate(final + refers, 26, True) == b"what was said" * 2
    assert inflater.inflate(final + b"\x00", 26, True) == b"what was said"
    assert inflater.inflate(refers, 26, True) == b"what was said"


@pytest.mark.parametrize("offer", [TAKEOVER, WITHOUT])
def test_bound_holds_behind_a_final_block(offer: bytes):
    for limit, fits in ((10, True), (9, False), (5, False), (4, False), (0, False)):
        inflater = Inflater(agreed(offer))
        payload = FINAL + FINAL + b"\x00"
        if fits:
            assert inflater.inflate(payload, limit, True) == b"HelloHello"
        else:
            assert status_of(inflater.inflate, payload, limit, True) == 1009


@pytest.mark.parametrize("rest", [b"", b"\x05", b"\xff\xff\xff", b"trailing garbage", b"\x00\x01"])
def test_garbage_behind_a_final_block(rest: bytes):
    assert status_of(Inflater(agreed(TAKEOVER)).inflate, FINAL + rest, BOUND, True) == 1007


def test_final_blocks_without_end_are_cut_off():
    flood = b"\x03\x00" * 1_000_000
    assert status_of(Inflater(agreed(TAKEOVER)).inflate, flood, BOUND, True) == 1007
    # So are they in pieces, and the count begins again with each message.
    inflater = Inflater(agreed(TAKEOVER))
    for _ in range(3):
        assert inflater.inflate(b"\x03\x00" * 900, BOUND, False) == b""
        assert inflater.inflate(b"\x00", BOUND, True) == b""
    inflater.inflate(b"\x03\x00" * 900, BOUND, False)
    assert status_of(inflater.inflate, b"\x03\x00" * 900, BOUND, False) == 1007


# ---- bounds and garbage


def status_of(call: Callable[..., bytes], *arguments: object) -> int:
    with pytest.raises(RemoteProtocolError) as caught:
        call(*arguments)
    return caught.value.status


@pytest.mark.parametrize("offer", [TAKEOVER, WITHOUT, NAME])
@pytest.mark.parametrize("message", [b"a", b"ab" * 50, b"\x00" * 16384, b"\x00" * 16385, b"\x00" * 3_000_000])
def test_as_much_as_is_allowed_and_not_a_byte_more(offer: bytes, message: bytes):
    parameters = agreed(offer)
    payload = Deflater(parameters).compress(message)
    assert Inflater(parameters).inflate(payload, len(message), True) == message
    for limit in {len(message) - 1, len(message) // 2, 0}:
        assert status_of(Inflater(parameters).inflate, payload, limit, True) == 1009
    # The same when only the last byte, or all but that, goes beyond it.
    inflater = Inflater(parameters)
    begin = inflater.inflate(payload[:-1], len(message), False)
    assert begin + inflater.inflate(payload[-1:], len(message) - len(begin), True) == message
    if begin:
        assert status_of(Inflater(parameters).inflate, payload[:-1], len(begin) - 1, False) == 1009


def test_a_bomb_is_not_inflated_beyond_the_bound():
    compressor = zlib.compressobj(9, zlib.DEFLATED, -12)
    bomb = compressor.compress(b"\x00" * 5_000_000) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 6_000
    inflater = Inflater(agreed(TAKEOVER))
    assert status_of(inflater.inflate, bomb, 1000, True) == 1009


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        b"\xff\xff\xff\xff",
        b"\x06\x00",
        b"Hello",
        HELLO + b"garbage",
        # A reference to what is not there.
        bytes.fromhex("f2 00 11 00 00"),
        # The tail was not removed.
        HELLO + b"\x00\x00\xff\xff",
        # Cut off: inside of a block, of a stored one, of a header.
        HELLO[:-1],
        HELLO[:-2],
        HELLO[:3],
        bytes.fromhex("00 05 00 fa ff 48 65"),
        bytes.fromhex("00 05 00"),
    ],
)
@pytest.mark.parametrize("offer", [TAKEOVER, WITHOUT, NAME])
def test_garbage(offer: bytes, payload: bytes):
    assert status_of(Inflater(agreed(offer)).inflate, payload, BOUND, True) == 1007


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.sampled_from([TAKEOVER, WITHOUT, NAME]))
def test_any_bytes_are_inflated_or_refused(pieces: list[bytes], offer: bytes):
    inflater = Inflater(agreed(offer))
    for index, piece in enumerate(pieces, 1):
        inflated = outcome(inflater.inflate, piece, 1000, index == len(pieces))
        if not isinstance(inflated, bytes):
            assert inflated in (1007, 1009)
            break
        assert len(inflated) <= 1000


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.binary(max_size=60), st.integers(1, 200), st.booleans()), min_size=1, max_size=8),
    st.sampled_from([TAKEOVER, WITHOUT, NAME, TAKEOVER + b"=9; server_max_window_bits=9"]),
    st.integers(0, 1 << 32),
)
def test_what_is_deflated_is_inflated(contents: list[tuple[bytes, int, bool]], offer: bytes, seed: int):
    parameters = agreed(offer)
    chosen = random.Random(seed)
    # The other side's parameters are ours mirrored; both windows are at least 9 bits in these offers.
    bits = max(parameters.client_window_bits, 9)
    client = DeflateParameters(min(bits, 12), bits, parameters.client_takeover, True)
    deflater, inflater = Deflater(client), Inflater(parameters)
    for content, times, rests in contents:
        message = content * times
        if rests:
            deflater.rest()
            inflater.rest()
        assert inflate_in_pieces(inflater, deflater.compress(message), chosen) == message


# ---- what stays between two messages


def test_deflater_refers_to_earlier_messages_until_it_rests():
    message = random.Random(1).randbytes(1000)
    deflater = Deflater(agreed(TAKEOVER))
    first, second = deflater.compress(message), deflater.compress(message)
    assert len(second) < 30 < len(first)
    deflater.rest()
    assert deflater.compress(message) == first


def test_deflater_without_takeover_refers_to_nothing():
    message = random.Random(1).randbytes(1000)
    deflater = Deflater(agreed(TAKEOVER + b"; server_no_context_takeover"))
    assert deflater.compress(message) == deflater.compress(message)


def test_windows_are_no_larger_than_agreed():
    # What is repeated beyond the window cannot be referred to, and inflates with that window.
    message = random.Random(2).randbytes(3000) * 3
    small = agreed(TAKEOVER + b"; server_max_window_bits=9")
    payload = Deflater(small).compress(message)
    assert len(payload) > 9000
    stream = zlib.decompressobj(-9)
    assert stream.decompress(payload) == message
    assert len(Deflater(agreed(TAKEOVER)).compress(message)) < 4000


def test_peer_that_says_8_and_uses_9_is_understood():
    # As versions of zlib before 1.2.9 did.
    compressor = zlib.compressobj(6, zlib.DEFLATED, -9)
    message = random.Random(3).randbytes(400) * 3
    inflater = Inflater(agreed(NAME + b"; client_max_window_bits=8"))
    for _ in range(3):
        payload = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)[:-4]
        assert inflater.inflate(payload, BOUND, True) == message


def test_server_factory_of_websockets_agrees_on_what_may_be_accepted():
    """Whatever we make of an offer, an independent server could have made of it, if it had our limits."""
    theirs = ServerPerMessageDeflateFactory(server_max_window_bits=12, client_max_window_bits=12)
    for offer in OFFERS:
        factory = ClientPerMessageDeflateFactory(**offer)
        chosen, _ = theirs.process_request_params(factory.get_request_params(), [])
        _, ours = websockets_client(offer)
        expected = {name if value is None else f"{name}={value}" for name, value in chosen}
        said = {item.strip() for item in ours.response.decode().split(";")[1:]}
        # Ours asks a client without a bounded window not to keep it; theirs keeps 32 KiB.
        extra = set() if offer.get("client_max_window_bits") else {"client_no_context_takeover"}
        assert said == expected | extra


def test_idle_memory_is_a_window():
    import tracemalloc

    parameters = agreed(TAKEOVER)
    payload = Deflater(parameters).compress(random.Random(4).randbytes(20_000))
    count = 50
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        ends = [(Deflater(parameters), Inflater(parameters)) for _ in range(count)]
        for deflater, inflater in ends:
            deflater.compress(b"Hello")
            assert len(inflater.inflate(payload, BOUND, True)) == 20_000
            deflater.rest()
            inflater.rest()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / count < (1 << deflate.WINDOW_BITS) + 512
