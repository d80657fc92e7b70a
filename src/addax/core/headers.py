"""Decides, in one pass over a request head, what it means for the connection; and checks what an application sends.

No parser library has a say in any of this: framing, persistence, Host, Expect and Upgrade are read here, from the field
lines alone, so that every parser gives the same answers.

Implements: RFC 9112 §6 (framing), §9.3 (persistence), §3.2 (Host); RFC 9110 §5 (fields), §7.6.1 (Connection),
§7.8 (Upgrade), §10.1.1 (Expect).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

from addax.core import caches
from addax.core.caches import FIELD_NAMES_MAX, VALID_HOST_MAX_BYTES, VALID_HOSTS_MAX, field_names, valid_hosts
from addax.core.errors import LocalProtocolError, RemoteProtocolError
from addax.core.fields import (
    CHUNKED_LENGTH,
    CLOSES,
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    EXPECTS_CONTINUE,
    FORWARDED,
    KEEP_ALIVE,
    ORDINARY,
    SERVER,
    TRANSFER_ENCODING,
    WEBSOCKET,
)
from addax.core.target import is_authority
from addax.core.types import Headers

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

#: What nearly all clients say that send Connection at all.
_KEEP_ALIVES = frozenset((b"keep-alive", b"Keep-Alive"))

#: 18 digits are 888 PiB.
_DIGITS_MAX = 18


#: What a request head asks of the connection: the body's length in bytes (0: none) or CHUNKED_LENGTH, and flags of
#: ``core.fields``. A tuple: one is made for every request.
RequestHead: TypeAlias = tuple[int, int]


def _check_host(value: bytes) -> None:
    if not is_authority(value):
        raise RemoteProtocolError("Host is not a host name or address with an optional port")
    if len(value) > VALID_HOST_MAX_BYTES:
        return
    if len(valid_hosts) >= VALID_HOSTS_MAX:
        valid_hosts.clear()
    valid_hosts.add(value)


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
    host: bytes | None = None
    length: bytes | None = None
    coding: bytes | None = None
    options: bytes | None = None
    expect: bytes | None = None
    upgrade: bytes | None = None
    has_content_type = False
    flags = 0
    for name, value in headers:
        field = _REQUEST_FIELDS.get(name)
        if field is None:
            continue
        if field == _HOST:
            if host is not None:
                raise RemoteProtocolError("more than one Host field")
            host = value
        elif field == _FORWARDED:
            flags = FORWARDED
        elif field == _CONNECTION:
            options = value if options is None else options + b"," + value
        elif field == _CONTENT_TYPE:
            if has_content_type:
                raise RemoteProtocolError("more than one Content-Type field")
            has_content_type = True
        elif field == _CONTENT_LENGTH:
            if length is not None:
                raise RemoteProtocolError("more than one Content-Length field")
            length = value
        elif field == _TRANSFER_ENCODING:
            coding = value if coding is None else coding + b"," + value
        elif field == _UPGRADE:
            upgrade = value if upgrade is None else upgrade + b"," + value
        else:
            expect = value if expect is None else expect + b"," + value

    if host is None:
        if minor == 1:
            raise RemoteProtocolError("HTTP/1.1 without a Host field")
    elif host not in valid_hosts:
        _check_host(host)
    body_length = 0
    if length is not None or coding is not None:
        body_length = _body_length(minor, length, coding)
    if options is None:
        flags |= minor
    else:
        flags |= _read_options(minor, options, upgrade)
    if expect is not None and minor == 1:
        if expect.lower() != b"100-continue":
            raise RemoteProtocolError("the only expectation that is understood is 100-continue", 417)
        if body_length:
            flags |= EXPECTS_CONTINUE
    return body_length, flags


def _read_options(minor: int, options: bytes, upgrade: bytes | None) -> int:
    """Flags of what Connection says, all of its lines joined by commas, and Upgrade, the same."""
    if minor == 1 and options in _KEEP_ALIVES:
        return KEEP_ALIVE
    if options == b"close":
        return 0
    flags = 0
    members = tokens(options)
    if b"close" not in members and (minor == 1 or b"keep-alive" in members):
        flags |= KEEP_ALIVE
    if upgrade is not None and b"upgrade" in members and minor == 1 and b"websocket" in tokens(upgrade):
        flags |= WEBSOCKET
    return flags


def _body_length(minor: int, length: bytes | None, coding: bytes | None) -> int:
    if coding is not None:
        # RFC 9112 §6.1: both together, or a coding on 1.0, "ought to be handled as an error": they are how requests are
        # smuggled past a proxy that reads them otherwise.
        if length is not None:
            raise RemoteProtocolError("Content-Length and Transfer-Encoding together")
        if minor == 0:
            raise RemoteProtocolError("Transfer-Encoding in an HTTP/1.0 request")
        _check_transfer_encoding(coding)
        return CHUNKED_LENGTH
    assert length is not None
    # ``int`` alone takes "+5", "5_0" and " 5", each of which was a smuggling bug in some server.
    for digit in length:
        if digit < 0x30 or digit > 0x39:
            raise RemoteProtocolError("Content-Length is not one decimal number")
    if not length or len(length) > _DIGITS_MAX:
        raise RemoteProtocolError("Content-Length is not one decimal number")
    return int(length)


# ---- what the application sends -------------------------------------------------------------------------------------

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


class FieldName:
    """A field name that was found valid: its bytes for the wire, with colon and space, and what it means."""

    __slots__ = ("kind", "lines", "lower", "prefix")

    def __init__(self, lower: bytes) -> None:
        self.lower = lower
        self.prefix = lower + b": "
        self.kind = _RESPONSE_FIELDS.get(lower, ORDINARY)
        #: Whole lines by value.
        self.lines: dict[bytes, bytes] = {}


def _new_field_name(name: bytes) -> FieldName:
    if not isinstance(name, bytes):
        raise LocalProtocolError(f"header name {name!r} is {type(name).__name__}, not bytes")
    if _TOKEN.fullmatch(name) is None:
        raise LocalProtocolError(f"header name {name!r} is not a token (RFC 9110 §5.1)")
    if len(field_names) >= FIELD_NAMES_MAX:
        field_names.clear()
        caches.known_lines = 0
    field = field_names[name] = FieldName(name.lower())
    return field


def check_value(name: bytes, value: bytes) -> None:
    """Refuse a response field's value that would break out of its line.

    Raises:
        LocalProtocolError: not bytes, or it holds CR, LF, NUL or another control character (RFC 9110 §5.5).
    """
    if not isinstance(value, bytes):
        raise LocalProtocolError(f"value of header {name!r} is {type(value).__name__}, not bytes")
    if _FORBIDDEN_IN_VALUE.search(value) is not None:
        raise LocalProtocolError(f"value {value!r} of header {name!r} has a control character (RFC 9110 §5.5)")


#: Field lines of a response, checked and with their line ends; the value of Content-Length, digits, as the
#: application gave it; and bits: ``1 << kind`` for each special kind that came, and CLOSES. A tuple: one is made for
#: every response.
ResponseFields: TypeAlias = tuple[bytes, bytes | None, int]

# Lines of the fields that came first and are nothing special: most applications say the same few things with every
# response (content-type: application/json). Filled once and then left alone, so that fields that are different each
# time cannot push these out; a look-up that finds nothing costs little.
_KNOWN_LINES_MAX = 256
_KNOWN_LINE_MAX_BYTES = 128


def encode_fields(headers: Iterable[tuple[bytes, bytes]]) -> ResponseFields:
    """Check the field lines of a response, encode those that are the application's to send, and note the others.

    Raises:
        LocalProtocolError: a name or value that HTTP does not allow.
    """
    content_length: bytes | None = None
    special = 0
    # Put together by "+": of the few lines that a response has, cheaper than a list of them and a join.
    lines = b""
    for field in headers:
        name, value = field
        known = field_names.get(name)
        if known is None:
            known = _new_field_name(name)
        kind = known.kind
        if kind == ORDINARY and type(value) is bytes:
            line = known.lines.get(value)
            if line is not None:
                lines = lines + line if lines else line
                continue
        if kind == CONTENT_LENGTH:
            if type(value) is not bytes or not value or len(value) > _DIGITS_MAX:
                raise _bad_content_length(value)
            # Not ``isdigit``: these few are looked at quicker than a method is called, where this is compiled.
            digits = value
            for digit in digits:
                if digit < 0x30 or digit > 0x39:
                    raise _bad_content_length(value)
            if content_length is not None and int(content_length) != int(value):
                raise LocalProtocolError(f"two content-length fields: {content_length!r} and {value!r}")
            content_length = value
            continue
        # Printable as Latin-1 is what nearly all values are, and the cheapest thing to ask.
        if type(value) is not bytes or not str(value, "latin-1").isprintable():
            check_value(name, value)
        if kind == ORDINARY:
            line = _remember_line(known, value, known.prefix + value + b"\r\n")
            lines = lines + line if lines else line
            continue
        special |= 1 << kind
        if kind == CONNECTION and b"close" in tokens(value):
            special |= CLOSES
        # "The server must ignore" Transfer-Encoding: ASGI, http.response.start. Framing and the hop are its own.
        if kind in (DATE, SERVER):
            lines += known.prefix + value + b"\r\n"
    return lines, content_length, special


def _remember_line(name: FieldName, value: bytes, line: bytes) -> bytes:
    # A cookie is nobody's but one client's: nothing to keep.
    if len(line) <= _KNOWN_LINE_MAX_BYTES and name.lower != b"set-cookie" and caches.known_lines < _KNOWN_LINES_MAX:
        caches.known_lines += 1
        name.lines[value] = line
    return line


def _bad_content_length(value: object) -> LocalProtocolError:
    if not isinstance(value, bytes):
        return LocalProtocolError(f"value of header b'content-length' is {type(value).__name__}, not bytes")
    return LocalProtocolError(f"content-length {value!r} is not one decimal number")
