"""Several requests at once: answered in their order, one at a time, and never past an error. RFC 9112 §9.3.2."""

from __future__ import annotations

from .case import CLOSED, Seen, bad, get, good, post, request, waiting

PIPELINE = "RFC 9112 §9.3.2"
AFTER_ERROR = "RFC 9112 §9.6"
POST = post(b"Content-Length: 3", body=b"abc")
POSTED = Seen("POST", body=b"abc")


def _get(path: str) -> bytes:
    return request(b"GET " + path.encode() + b" HTTP/1.1", b"Host: h")


CASES = [
    good("pipeline-two", PIPELINE, _get("/1") + _get("/2"), Seen("GET", "/1"), Seen("GET", "/2")),
    good(
        "pipeline-fifty",
        PIPELINE,
        b"".join(_get(f"/{number}") for number in range(50)),
        *(Seen("GET", f"/{number}") for number in range(50)),
    ),
    good("pipeline-post-get", PIPELINE, POST + get(), POSTED, Seen()),
    good("pipeline-get-post", PIPELINE, get() + POST, Seen(), POSTED),
    good("pipeline-post-post-post", PIPELINE, POST * 3, POSTED, POSTED, POSTED),
    good(
        "pipeline-chunked-between",
        PIPELINE,
        get() + post(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\nX: y\r\n\r\n") + get(),
        Seen(),
        POSTED,
        Seen(),
    ),
    good(
        "pipeline-head-between",
        PIPELINE,
        get() + request(b"HEAD /h HTTP/1.1", b"Host: h") + get(),
        Seen(),
        Seen("HEAD", "/h"),
        Seen(),
    ),
    good("pipeline-empty-line-between", "RFC 9112 §2.2", POST + b"\r\n" + get(), POSTED, Seen()),
    good("pipeline-empty-line-after-each", "RFC 9112 §2.2", (POST + b"\r\n") * 3, POSTED, POSTED, POSTED),
    good(
        "pipeline-different-hosts",
        PIPELINE,
        get() + request(b"GET / HTTP/1.1", b"Host: other"),
        Seen(fields={b"host": (b"h",)}),
        Seen(fields={b"host": (b"other",)}),
    ),
    good("pipeline-then-close", PIPELINE, get() + get(b"Connection: close"), Seen(), Seen(), then=CLOSED),
    good("pipeline-nothing-after-close", PIPELINE, get(b"Connection: close") + get(), Seen(), then=CLOSED),
    good("pipeline-nothing-after-1.0", PIPELINE, request(b"GET / HTTP/1.0") + get(), Seen(version="1.0"), then=CLOSED),
    good("pipeline-nothing-bad-after-close", PIPELINE, get(b"Connection: close") + b"\x00" * 50, Seen(), then=CLOSED),
    good("pipeline-of-100-posts", PIPELINE, POST * 100, *(POSTED,) * 100),
    good(
        "pipeline-of-more-than-its-bound",
        PIPELINE,
        post(b"Content-Length: 20000", body=b"x" * 20_000) * 5,
        *(Seen("POST", body=b"x" * 20_000),) * 5,
    ),
    waiting("pipeline-second-not-whole", PIPELINE, get() + b"GET / HT", Seen()),
    waiting("pipeline-second-without-body", PIPELINE, get() + post(b"Content-Length: 3", body=b"ab"), Seen()),
    bad("pipeline-good-then-bad", AFTER_ERROR, get() + b"BAD\r\n\r\n", 400, Seen()),
    bad("pipeline-good-bad-good", AFTER_ERROR, get() + request(b"GET / HTTP/1.1") + get(), 400, Seen()),
    bad("pipeline-bad-then-good", AFTER_ERROR, b"GET /\r\n\r\n" + get(), 400),
    bad("pipeline-two-bad", AFTER_ERROR, request(b"GET / HTTP/1.1") * 2, 400),
    bad("pipeline-bad-with-body-that-is-a-request", AFTER_ERROR, post(b"Content-Length: x") + get(), 400),
    bad(
        "pipeline-unknown-method-with-body",
        AFTER_ERROR,
        request(b"FOO / HTTP/1.1", b"Host: h", b"Content-Length: 37") + get(),
        501,
    ),
    bad("pipeline-after-refused-expectation", AFTER_ERROR, post(b"Expect: foo", b"Content-Length: 37") + get(), 417),
    bad("pipeline-after-bad-chunk", AFTER_ERROR, post(b"Transfer-Encoding: chunked", body=b"x\r\n") + get(), 400),
    bad(
        "pipeline-two-good-then-another-version",
        AFTER_ERROR,
        get() + get() + b"GET / HTTP/2.0\r\n\r\n",
        505,
        Seen(),
        Seen(),
    ),
    bad("pipeline-two-empty-lines-between", "RFC 9112 §2.2", POST + b"\r\n\r\n" + get(), 400, POSTED),
    bad("pipeline-lf-between", "RFC 9112 §2.2", POST + b"\n" + get(), 400, POSTED),
    bad("pipeline-space-between", "RFC 9112 §2.2", POST + b" " + get(), 400, POSTED),
    bad("pipeline-nul-between", "RFC 9112 §2.2", POST + b"\x00" + get(), 400, POSTED),
    bad(
        "pipeline-body-longer-than-said",
        AFTER_ERROR,
        post(b"Content-Length: 2", body=b"abc") + get(),
        501,
        Seen("POST", body=b"ab"),
    ),
    bad("pipeline-body-without-length", AFTER_ERROR, post(body=b"a=b&c=d\r\n"), 400, Seen("POST")),
    bad("pipeline-chunks-without-coding", AFTER_ERROR, post(body=b"5\r\nhello\r\n0\r\n\r\n"), 400, Seen("POST")),
]
