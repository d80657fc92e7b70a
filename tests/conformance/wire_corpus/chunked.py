"""The chunked coding: RFC 9112 §7.1, and chunk extensions: §7.1.1."""

from __future__ import annotations

from .case import Case, Seen, bad, get, good, post, waiting

CHUNK = "RFC 9112 §7.1"
EXTENSION = "RFC 9112 §7.1.1"


def _post(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=body)


def _good(id: str, section: str, body: bytes, content: bytes = b"hello") -> Case:
    return good(id, section, _post(body), Seen("POST", body=content))


def _bad(id: str, section: str, body: bytes) -> Case:
    return bad(id, section, _post(body), 400)


def _size(id: str, size: bytes) -> Case:
    return _bad(id, CHUNK, size + b"\r\nhello\r\n0\r\n\r\n")


def _extension(id: str, extension: bytes) -> Case:
    return _good(id, EXTENSION, b"5" + extension + b"\r\nhello\r\n0\r\n\r\n")


def _bad_extension(id: str, extension: bytes) -> Case:
    return _bad(id, EXTENSION, b"5" + extension + b"\r\nhello\r\n0\r\n\r\n")


# Five chunks, each with 4001 bytes of extension: more than 16384 together, each line less than 4096.
LONG_EXTENSION = b";" + b"e" * 4000
MANY_EXTENSIONS = b"".join(b"1" + LONG_EXTENSION + b"\r\nx\r\n" for _ in range(5))

CASES = [
    _good("chunk-one", CHUNK, b"5\r\nhello\r\n0\r\n\r\n"),
    _good("chunk-several", CHUNK, b"2\r\nhe\r\n1\r\nl\r\n2\r\nlo\r\n0\r\n\r\n"),
    _good("chunk-none", CHUNK, b"0\r\n\r\n", b""),
    _good("chunk-size-upper-case", CHUNK, b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    _good("chunk-size-lower-case", CHUNK, b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    _good("chunk-size-leading-zeros", CHUNK, b"0005\r\nhello\r\n0\r\n\r\n"),
    _good("chunk-size-16-digits", CHUNK, b"0000000000000005\r\nhello\r\n0\r\n\r\n"),
    _good("chunk-last-size-16-zeros", CHUNK, b"5\r\nhello\r\n0000000000000000\r\n\r\n"),
    _good("chunk-data-of-line-ends", CHUNK, b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
    _good("chunk-data-that-is-a-last-chunk", CHUNK, b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n"),
    _good("chunk-data-all-bytes", CHUNK, b"100\r\n" + bytes(range(256)) + b"\r\n0\r\n\r\n", bytes(range(256))),
    _good("chunk-100-of-one-byte", CHUNK, b"1\r\nx\r\n" * 100 + b"0\r\n\r\n", b"x" * 100),
    _good("chunk-of-100000-bytes", CHUNK, b"186a0\r\n" + b"z" * 100_000 + b"\r\n0\r\n\r\n", b"z" * 100_000),
    good("chunk-then-pipelined", CHUNK, _post(b"1\r\na\r\n0\r\n\r\n") + get(), Seen("POST", body=b"a"), Seen()),
    good(
        "chunk-twice-pipelined",
        CHUNK,
        _post(b"1\r\na\r\n0\r\n\r\n") + _post(b"1\r\nb\r\n0\r\n\r\n"),
        Seen("POST", body=b"a"),
        Seen("POST", body=b"b"),
    ),
    # Sizes
    _size("chunk-size-empty", b""),
    _size("chunk-size-17-digits", b"00000000000000005"),
    _size("chunk-size-two-to-64-and-5", b"10000000000000005"),
    _size("chunk-size-1000-digits", b"0" * 999 + b"5"),
    _size("chunk-size-plus", b"+5"),
    _size("chunk-size-minus", b"-5"),
    _size("chunk-size-prefix", b"0x5"),
    _size("chunk-size-underscore", b"0_5"),
    _size("chunk-size-letter", b"g"),
    _size("chunk-size-digit-then-letter", b"5g"),
    _size("chunk-size-fraction", b"5.0"),
    _size("chunk-size-suffix", b"5h"),
    _size("chunk-size-space-before", b" 5"),
    _size("chunk-size-tab-before", b"\t5"),
    _size("chunk-size-space-after", b"5 "),
    _size("chunk-size-tab-after", b"5\t"),
    _size("chunk-size-two-numbers", b"5 5"),
    _size("chunk-size-comma", b"5,5"),
    _size("chunk-size-nul", b"5\x00"),
    _size("chunk-size-quoted", b'"5"'),
    _size("chunk-size-full-width-digit", "\uff15".encode()),
    _size("chunk-size-superscript-digit", b"\xb2"),
    _bad("chunk-empty-line-before-first", CHUNK, b"\r\n5\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk-empty-line-between", CHUNK, b"5\r\nhello\r\n\r\n0\r\n\r\n"),
    _bad("chunk-no-framing-at-all", CHUNK, b"hello\r\n"),
    # Line ends
    _bad("chunk-size-ended-by-lf", CHUNK, b"5\nhello\r\n0\r\n\r\n"),
    _bad("chunk-size-ended-by-cr", CHUNK, b"5\rhello\r\n0\r\n\r\n"),
    _bad("chunk-size-ended-by-cr-cr-lf", CHUNK, b"5\r\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk-data-ended-by-lf", CHUNK, b"5\r\nhello\n0\r\n\r\n"),
    _bad("chunk-data-ended-by-cr", CHUNK, b"5\r\nhello\r0\r\n\r\n"),
    _bad("chunk-data-ended-by-cr-cr-lf", CHUNK, b"5\r\nhello\r\r\n0\r\n\r\n"),
    _bad("chunk-data-ended-by-lf-cr", CHUNK, b"5\r\nhello\n\r0\r\n\r\n"),
    _bad("chunk-data-not-ended", CHUNK, b"5\r\nhello0\r\n\r\n"),
    _bad("chunk-data-too-long", CHUNK, b"5\r\nhelloXX\r\n0\r\n\r\n"),
    _bad("chunk-data-too-short", CHUNK, b"5\r\nhell\r\n0\r\n\r\n"),
    _bad("chunk-last-ended-by-lf", CHUNK, b"5\r\nhello\r\n0\n\r\n"),
    _bad("chunk-last-then-lf", CHUNK, b"5\r\nhello\r\n0\r\n\n"),
    _bad("chunk-last-then-cr-cr-lf", CHUNK, b"5\r\nhello\r\n0\r\n\r\r\n"),
    _bad("chunk-last-then-garbage", CHUNK, b"5\r\nhello\r\n0\r\nX\r\n\r\n"),
    _bad("chunk-last-without-empty-line", CHUNK, b"5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"),
    # Extensions
    _extension("extension-name", b";a"),
    _extension("extension-value", b";a=b"),
    _extension("extension-quoted", b';a="b c"'),
    _extension("extension-quoted-empty", b';a=""'),
    _extension("extension-quoted-delimiters", b';a=";b=,\'"'),
    _extension("extension-quoted-pair", b';a="\\"\\\\"'),
    _extension("extension-quoted-tab", b';a="\t"'),
    _extension("extension-quoted-obs-text", b';a="\xe9"'),
    _extension("extension-several", b";a;b=c;a"),
    _extension("extension-space-before", b" ;a"),
    _extension("extension-white-space-everywhere", b" \t; \ta \t= \tb \t; c"),
    _extension("extension-4000-bytes", LONG_EXTENSION),
    _good("extension-of-last-chunk", EXTENSION, b"5\r\nhello\r\n0;a=b\r\n\r\n"),
    _bad_extension("extension-empty", b";"),
    _bad_extension("extension-empty-second", b";a;"),
    _bad_extension("extension-empty-first", b";;a"),
    _bad_extension("extension-no-name", b";=b"),
    _bad_extension("extension-no-value", b";a="),
    _bad_extension("extension-two-equals", b";a==b"),
    _bad_extension("extension-two-names", b";a b"),
    _bad_extension("extension-two-values", b";a=b c"),
    _bad_extension("extension-trailing-space", b";a "),
    _bad_extension("extension-comma", b",a"),
    _bad_extension("extension-space-instead", b" a"),
    _bad_extension("extension-name-not-token", b";a@b"),
    _bad_extension("extension-value-not-token", b";a=b/c"),
    _bad_extension("extension-quoted-name", b';"a"=b'),
    _bad_extension("extension-quote-not-closed", b';a="b'),
    _bad_extension("extension-quote-then-text", b';a="b"c'),
    _bad_extension("extension-quoted-pair-not-closed", b';a="\\"'),
    _bad_extension("extension-nul", b";a\x00"),
    _bad_extension("extension-control", b';a="\x01"'),
    _bad_extension("extension-del", b';a="\x7f"'),
    _bad_extension("extension-obs-text", b";\xe9"),
    _bad_extension("extension-bare-cr", b";a\rb"),
    _bad_extension("extension-bare-cr-quoted", b';a="\r"'),
    _bad_extension("extension-bare-lf", b";a\nb"),
    _bad_extension("extension-bare-lf-quoted", b';a="\n"'),
    _bad_extension("extension-fold", b";a\r\n b"),
    _bad_extension("extension-line-too-long", b";" + b"e" * 4200),
    bad("extension-line-too-long-without-end", EXTENSION, _post(b"5;" + b"e" * 5000), 400),
    bad("extensions-too-many-together", EXTENSION, _post(MANY_EXTENSIONS + b"0\r\n\r\n"), 400),
    # Not whole yet
    waiting("chunk-not-begun", CHUNK, _post(b"")),
    waiting("chunk-inside-size", CHUNK, _post(b"5")),
    waiting("chunk-inside-size-line-end", CHUNK, _post(b"5\r")),
    waiting("chunk-inside-data", CHUNK, _post(b"5\r\nhel")),
    waiting("chunk-before-data-end", CHUNK, _post(b"5\r\nhello")),
    waiting("chunk-inside-data-end", CHUNK, _post(b"5\r\nhello\r")),
    waiting("chunk-before-last", CHUNK, _post(b"5\r\nhello\r\n")),
    waiting("chunk-before-last-empty-line", CHUNK, _post(b"5\r\nhello\r\n0\r\n")),
    waiting("chunk-inside-last-empty-line", CHUNK, _post(b"5\r\nhello\r\n0\r\n\r")),
    waiting("chunk-size-largest", CHUNK, _post(b"FFFFFFFFFFFFFFFF\r\nx")),
]
