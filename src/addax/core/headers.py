"""Decides, in one pass over a request head, what it means for the connection; and checks what an application sends.

No parser library has a say in any of this: framing, persistence, Host, Expect and Upgrade are read here, from the field
lines alone, so that every parser gives the same answers.

Implements: RFC 9112 §6 (framing), §9.3 (persistence), §3.2 (Host); RFC 9110 §5 (fields), §7.6.1 (Connection),
§7.8 (Upgrade), §10.1.1 (Expect).
"""

from __future__ import annotations

import re

from addax.core.errors import LocalProtocolError, RemoteProtocolError
from addax.core.target import is_authority
from addax.core.types import Headers

# What RequestHead.body_length holds when the body is chunked. The same number as http1.parser.CHUNKED, which floor 0
# cannot import; a test holds them together.
CHUNKED_LENGTH = -1

_HOST = 1
_CONTENT_LENGTH = 2
_TRANSFER_ENCODING = 3
_CONNECTION = 4
_EXPECT = 5
_UPGRADE = 6
_CONTENT_TYPE = 7
_FORWARDED = 8

#: Names that mean something to the server. One dict look-up for each field line is all that the others cost.
_REQUEST_FIELDS: dict[bytes, int] = {
    b"host": _HOST,
    b"content-length": _CONTENT_LENGTH,
    b"transfer-encoding": _TRANSFER_ENCODING,
    b"connection": _CONNECTION,
    b"expect": _EXPECT,
    b"upgrade": _UPGRADE,
    b"content-type": _CONTENT_TYPE,
    b"forwarded": _FORWARDED,
    b"x-forwarded-for": _FORWARDED,
    b"x-forwarded-proto": _FORWARDED,
    b"x-forwarded-host": _FORWARDED,
    b"x-forwarded-port": _FORWARDED,
    b"x-forwarded-prefix": _FORWARDED,
}

# ASCII digits only: int() alone takes "+5", "5_0", " 5" and Arabic digits, each of which was a smuggling bug in some
# server. 18 digits are 888 PiB, and fit a signed 64-bit integer.
_DIGITS = re.compile(rb"[0-9]{1,18}")
_KEEP_ALIVE_HOSTS_MAX = 512


class RequestHead:
    """What a request head asks of the connection.

    Attributes:
        body_length: bytes, 0 for none, or CHUNKED_LENGTH.
        keep_alive: whether the client wants to use the connection again.
        expects_continue: whether it waits for 100 (Continue) before it sends the body.
        upgrade: value of Upgrade if Connection names it too, else None.
        is_forwarded: whether a proxy says something about the client.
    """

    __slots__ = ("body_length", "expects_continue", "is_forwarded", "keep_alive", "upgrade")

    def __init__(self) -> None:
        self.body_length = 0
        self.keep_alive = True
        self.expects_continue = False
        self.upgrade: bytes | None = None
        self.is_forwarded = False


# Hosts that were found valid: a client sends the same one with every request, and the pattern costs more than a
# look-up.
_valid_hosts: set[bytes] = set()


def _check_host(value: bytes) -> None:
    if value in _valid_hosts:
        return
    if not is_authority(value):
        raise RemoteProtocolError("Host is not a host name or address with an optional port")
    if len(_valid_hosts) >= _KEEP_ALIVE_HOSTS_MAX:
        _valid_hosts.clear()
    _valid_hosts.add(value)


def _check_transfer_encoding(value: bytes) -> None:
    if value.lower() == b"chunked":
        return
    codings = [coding.strip(b" \t").lower() for coding in value.split(b",")]
    if b"" in codings or b"chunked" in codings[:-1]:
        raise RemoteProtocolError("Transfer-Encoding is malformed")
    raise RemoteProtocolError("the only transfer coding that is understood is chunked", 501)


def tokens(value: bytes) -> list[bytes]:
    """The members of a comma-separated list, lower-cased (RFC 9110 §5.6.1)."""
    return [member.strip(b" \t") for member in value.lower().split(b",")]


def read_request_head(minor: int, headers: Headers) -> RequestHead:
    """Decide what a request's field lines mean.

    Args:
        minor: 0 or 1, of HTTP/1.x.
        headers: names lower-cased, values without surrounding white space.

    Raises:
        RemoteProtocolError: 400, 417 or 501; the fields contradict each other or are ambiguous.
    """
    head = RequestHead()
    host: bytes | None = None
    length: bytes | None = None
    coding: bytes | None = None
    upgrade: bytes | None = None
    content_type_seen = False
    options: bytes | None = None
    expect: bytes | None = None
    for name, value in headers:
        field = _REQUEST_FIELDS.get(name)
        if field is None:
            continue
        if field == _HOST:
            if host is not None:
                raise RemoteProtocolError("more than one Host field")
            host = value
        elif field == _CONNECTION:
            options = value if options is None else options + b"," + value
        elif field == _CONTENT_TYPE:
            if content_type_seen:
                raise RemoteProtocolError("more than one Content-Type field")
            content_type_seen = True
        elif field == _CONTENT_LENGTH:
            if length is not None:
                raise RemoteProtocolError("more than one Content-Length field")
            length = value
        elif field == _FORWARDED:
            head.is_forwarded = True
        elif field == _TRANSFER_ENCODING:
            coding = value if coding is None else coding + b"," + value
        elif field == _EXPECT:
            expect = value if expect is None else expect + b"," + value
        else:
            upgrade = value if upgrade is None else upgrade + b"," + value

    if host is not None:
        _check_host(host)
    elif minor == 1:
        raise RemoteProtocolError("HTTP/1.1 without a Host field")

    if coding is not None:
        # RFC 9112 §6.1: both together, or a coding on 1.0, "ought to be handled as an error": they are how requests are
        # smuggled past a proxy that reads them otherwise.
        if length is not None:
            raise RemoteProtocolError("Content-Length and Transfer-Encoding together")
        if minor == 0:
            raise RemoteProtocolError("Transfer-Encoding in an HTTP/1.0 request")
        _check_transfer_encoding(coding)
        head.body_length = CHUNKED_LENGTH
    elif length is not None:
        if _DIGITS.fullmatch(length) is None:
            raise RemoteProtocolError("Content-Length is not one decimal number")
        head.body_length = int(length)

    if options is None:
        head.keep_alive = minor == 1
    else:
        members = tokens(options)
        head.keep_alive = b"close" not in members and (minor == 1 or b"keep-alive" in members)
        if upgrade is not None and b"upgrade" in members and minor == 1:
            head.upgrade = upgrade
    if expect is not None and minor == 1:
        if expect.lower() != b"100-continue":
            raise RemoteProtocolError("the only expectation that is understood is 100-continue", 417)
        head.expects_continue = head.body_length != 0
    return head


# ---- what the application sends -------------------------------------------------------------------------------------

#: Ordinary field; the others are those that the server decides about, or that must not stand twice.
ORDINARY = 0
CONTENT_LENGTH = 1
TRANSFER_ENCODING = 2
CONNECTION = 3
DATE = 4
SERVER = 5

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORBIDDEN_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_RESPONSE_FIELDS: dict[bytes, int] = {
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    # Fields of one hop (RFC 9110 §7.6.1): this hop is the server's, and it says what it means with Connection.
    b"keep-alive": TRANSFER_ENCODING,
    b"proxy-connection": TRANSFER_ENCODING,
    b"date": DATE,
    b"server": SERVER,
}
_NAMES_MAX = 1024


class FieldName:
    """A field name that was found valid: its bytes for the wire, with colon and space, and what it means."""

    __slots__ = ("kind", "lower", "prefix")

    def __init__(self, lower: bytes) -> None:
        self.lower = lower
        self.prefix = lower + b": "
        self.kind = _RESPONSE_FIELDS.get(lower, ORDINARY)


# Names as applications spell them. Bounded: an application that makes names up from input must not grow it for ever.
_names: dict[bytes, FieldName] = {}


def field_name(name: bytes) -> FieldName:
    """Look a response field's name up, and check it when it is new.

    Raises:
        LocalProtocolError: not bytes, or not a token (RFC 9110 §5.1).
    """
    known = _names.get(name)
    if known is None:
        if not isinstance(name, bytes):
            raise LocalProtocolError(f"header name {name!r} is {type(name).__name__}, not bytes")
        if _TOKEN.fullmatch(name) is None:
            raise LocalProtocolError(f"header name {name!r} is not a token (RFC 9110 §5.1)")
        known = FieldName(name.lower())
        if len(_names) >= _NAMES_MAX:
            _names.clear()
        _names[name] = known
    return known


def check_value(name: bytes, value: bytes) -> None:
    """Refuse a response field's value that would break out of its line.

    Raises:
        LocalProtocolError: not bytes, or it holds CR, LF, NUL or another control character (RFC 9110 §5.5).
    """
    if not isinstance(value, bytes):
        raise LocalProtocolError(f"value of header {name!r} is {type(value).__name__}, not bytes")
    if _FORBIDDEN_IN_VALUE.search(value) is not None:
        raise LocalProtocolError(f"value {value!r} of header {name!r} has a control character (RFC 9110 §5.5)")


def parse_content_length(value: bytes) -> int:
    """A response's Content-Length as a number.

    Raises:
        LocalProtocolError: not one decimal number.
    """
    if _DIGITS.fullmatch(value) is None:
        raise LocalProtocolError(f"content-length {value!r} is not one decimal number")
    return int(value)
