"""Make text that a peer sent fit for a log line.

Used by ``observe.access``, ``observe.line`` and ``observe.atoms``. A peer chooses every byte of a header; written as it
came, it could end a line and forge the next one, close a quoted field, or move the cursor of whoever reads the log in a
terminal.

What comes out is printable, has no double quote and no lone backslash, and ``unescape`` gives the text back.
"""

from __future__ import annotations

import re
from urllib.parse import quote, quote_from_bytes

#: Everything printable in ASCII but the space, the double quote and the backslash. ``%`` is among them: what the peer
#: has percent-encoded stays as it is.
_URL_SAFE = "!#$%&'()*+,/:;<=>?@[]^`{|}"

#: Longer paths are looked at by a regular expression.
_LOOP_MAX_CHARS = 24

_is_plain_path = re.compile(r"[A-Za-z0-9/_.~-]*").fullmatch
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U([0-9a-f]{8})")


def escape(raw: bytes) -> str:
    r"""Text of a header value: UTF-8 where it is that, ``\xhh`` for bytes that are not.

    A double quote, a backslash, and every character that is not printable (C0 and C1 controls, DEL, U+2028, U+2029,
    directional marks) becomes ``\xhh``, ``\uhhhh`` or ``\Uhhhhhhhh``, so that simple parsers see where a field ends.
    """
    if raw.isascii():
        return escape_text(raw.decode("ascii"))
    # Backslashes first: those that the decoder adds for broken bytes must stay as they are.
    text = raw.replace(b"\\", b"\\x5c").decode("utf-8", "backslashreplace")
    return "".join([c if c.isprintable() and c != '"' else _escape_char(c) for c in text])


def escape_text(text: str) -> str:
    """The same for text that has been decoded already."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join([c if c.isprintable() and c not in '"\\' else _escape_char(c) for c in text])


def escape_path(path: str) -> str:
    """Text of a decoded path: percent-encoded, but for letters, digits and ``/_.~-``."""
    if len(path) > _LOOP_MAX_CHARS:
        return path if _is_plain_path(path) else quote(path, errors="surrogatepass")
    # Compiled, this is a tenth of the call of a regular expression; in plain Python it is no slower.
    for char in path:
        if char not in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/_.~-":
            return quote(path, errors="surrogatepass")
    return path


def escape_url(raw: bytes) -> str:
    """Text of a part of a request target: percent-encoded wherever a byte is not plainly printable."""
    if raw.isascii():
        text = raw.decode("ascii")
        if text.isprintable() and '"' not in text and "\\" not in text and " " not in text:
            return text
    return quote_from_bytes(raw, safe=_URL_SAFE)


def unescape(text: str) -> str:
    """Undo ``escape``, for formats that have an escape of their own (JSON)."""
    if "\\" not in text:
        return text
    return _ESCAPE.sub(_unescape_match, text)


def _escape_char(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _unescape_match(match: re.Match[str]) -> str:
    return chr(int(match[1] or match[2] or match[3], 16))
