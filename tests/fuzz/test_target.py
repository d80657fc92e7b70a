"""A request-target is refused with 400 or its parts are the whole of it, and a second look says the same.

No target has a space in it, because a parser cuts there. Hosts are compared with what the standard library's URL parser
understands.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from addax.core.errors import RemoteProtocolError
from addax.core.target import Target, is_authority, parse_target

from .profile import fuzz

PARTS = [
    *b"/ // a .. ? ?? # * : @ [ ] [::1] [v1.a] http:// HTTPS:// ftp:// h h.example :80 :99999 :0".split(),
    *b'% %2F %41 %c3%a9 %ff %zz \\ " ; = & + {'.split(),
    *[b"\x00", b"\t", b"\r", b"\n", b"\x0b", b"\x7f", b"\x80", b"\xc3\xa9", b"x" * 130],
]
TARGETS = st.builds(
    lambda first, rest: first + b"".join(rest),
    st.sampled_from([b"/", b"/", b"http://", b"https://h", b"", b"*"]),
    st.lists(st.sampled_from(PARTS), max_size=6),
).filter(bool)


def look(method: str, target: bytes) -> Target | int:
    try:
        return parse_target(method, target)
    except RemoteProtocolError as error:
        return error.status


@fuzz(400)
@given(TARGETS, st.sampled_from(["GET", "OPTIONS"]))
def test_target_is_refused_or_its_parts_are_the_whole(target: bytes, method: str) -> None:
    parts = look(method, target)
    assert look(method, target) == parts
    if isinstance(parts, int):
        assert parts == 400
        return
    path, raw_path, query, authority = parts
    assert target.isascii()
    assert b"#" not in target
    assert all(0x20 < byte < 0x7F for byte in target)
    assert b"?" not in raw_path
    assert path == unquote(raw_path.decode("ascii"), "utf-8", "replace")
    rest = target
    if authority is not None:
        assert is_authority(authority)
        scheme, _, rest = target.partition(b"://")
        assert scheme.lower() in (b"http", b"https")
        assert rest.startswith(authority)
        rest = rest[len(authority) :]
        if not rest.startswith(b"/"):
            rest = b"/" + rest
    # An empty query may have its question mark or not.
    assert rest in (raw_path + b"?" + query, raw_path + query)
    assert raw_path == b"*" or raw_path.startswith(b"/")


@fuzz(400)
@given(st.lists(st.sampled_from([part for part in PARTS if b"://" not in part]), min_size=1, max_size=4).map(b"".join))
def test_authority_is_one_to_the_standard_library_too(authority: bytes) -> None:
    if not is_authority(authority):
        return
    parts = urlsplit("http://" + authority.decode("ascii"))
    assert parts.netloc.encode() == authority
    assert parts.hostname
    assert parts.username is None
    assert parts.password is None
    assert parts.port is None or 0 <= parts.port <= 65535
    assert (parts.path, parts.query, parts.fragment) == ("", "", "")
