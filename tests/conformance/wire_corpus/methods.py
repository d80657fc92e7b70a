"""Which methods are served: RFC 9110 §9.1, §16.1; RFC 4918 and the other registered ones."""

from __future__ import annotations

from .case import Seen, bad, good, request

NAMES = """
ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY OPTIONS PATCH
POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE
"""
SERVED = NAMES.split()

METHOD = "RFC 9110 §9.1"


def _line(method: bytes, target: bytes = b"/") -> bytes:
    return request(method + b" " + target + b" HTTP/1.1", b"Host: h")


CASES = [
    *(good(f"method-{name}", METHOD, _line(name.encode()), Seen(name)) for name in SERVED),
    # Well-formed, but nothing that this server knows.
    bad("method-unknown", METHOD, _line(b"FOO"), 501),
    bad("method-lower-case", METHOD, _line(b"get"), 501),
    bad("method-mixed-case", METHOD, _line(b"Get"), 501),
    bad("method-post-lower-case", METHOD, _line(b"post"), 501),
    bad("method-one-letter", METHOD, _line(b"G"), 501),
    bad("method-prefix-of-a-known-one", METHOD, _line(b"GE"), 501),
    bad("method-known-one-as-prefix", METHOD, _line(b"GETX"), 501),
    bad("method-of-all-token-characters", "RFC 9110 §5.6.2", _line(b"!#$%&'*+-.^_`|~09AZaz"), 501),
    bad("method-digits", METHOD, _line(b"123"), 501),
    bad("method-of-200-letters", METHOD, _line(b"A" * 200), 501),
    bad("method-CONNECT-authority", "RFC 9110 §9.3.6", _line(b"CONNECT", b"example.org:443"), 501),
    bad("method-CONNECT-origin", "RFC 9110 §9.3.6", _line(b"CONNECT", b"/"), 501),
    bad("method-PRI", METHOD, _line(b"PRI", b"/"), 501),
    bad("method-RTSP", METHOD, _line(b"DESCRIBE", b"/"), 501),
    # No token at all.
    bad("method-with-at", "RFC 9110 §5.6.2", _line(b"G@T"), 400),
    bad("method-with-parenthesis", "RFC 9110 §5.6.2", _line(b"G(T"), 400),
    bad("method-with-colon", "RFC 9110 §5.6.2", _line(b"GET:"), 400),
    bad("method-with-slash", "RFC 9110 §5.6.2", _line(b"GE/T"), 400),
    bad("method-quoted", "RFC 9110 §5.6.2", _line(b'"GET"'), 400),
    bad("method-with-comma", "RFC 9110 §5.6.2", _line(b"GET,POST"), 400),
    bad("method-with-nul", "RFC 9110 §5.6.2", _line(b"G\x00T"), 400),
    bad("method-with-tab", "RFC 9110 §5.6.2", _line(b"G\tT"), 400),
    bad("method-with-escape", "RFC 9110 §5.6.2", _line(b"\x1bGET"), 400),
    bad("method-with-del", "RFC 9110 §5.6.2", _line(b"GET\x7f"), 400),
    bad("method-with-obs-text", "RFC 9110 §5.6.2", _line(b"G\xc9T"), 400),
    bad("method-after-byte-order-mark", "RFC 9110 §5.6.2", _line(b"\xef\xbb\xbfGET"), 400),
]
