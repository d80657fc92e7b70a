from __future__ import annotations

from typing import Any

import pytest

from addax.asgi.allowed_hosts import AllowedHosts, Pattern, make_filter, parse_pattern


def scope_of(host: str | None, scheme: str = "http") -> dict[str, Any]:
    fields = [(b"accept", b"*/*"), (b"x-host", b"example.com")]
    if host is not None:
        fields.insert(1, (b"host", host.encode("latin-1")))
    return {"scheme": scheme, "headers": fields}


def allows(patterns: list[str], host: str | None, scheme: str = "http") -> bool:
    hosts = AllowedHosts(patterns)
    answer = hosts.allows(scope_of(host, scheme))
    assert hosts.allows(scope_of(host, scheme)) is answer, "the second time it is remembered"
    return answer


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("example.com", Pattern("example.com", None, False)),
        ("EXAMPLE.com.", Pattern("example.com", None, False)),
        ("example.com:8000", Pattern("example.com", 8000, False)),
        ("example.com:", Pattern("example.com", None, False)),
        ("*.example.com", Pattern("example.com", None, True)),
        ("*.example.com.:443", Pattern("example.com", 443, True)),
        ("localhost", Pattern("localhost", None, False)),
        ("my_service-1", Pattern("my_service-1", None, False)),
        ("192.0.2.7", Pattern("192.0.2.7", None, False)),
        ("192.0.2.7:80", Pattern("192.0.2.7", 80, False)),
        ("[2001:DB8:0:0::1]:80", Pattern("2001:db8::1", 80, False)),
        ("[::1]", Pattern("::1", None, False)),
        ("::1", Pattern("::1", None, False)),
    ],
)
def test_patterns_are_read(text: str, pattern: Pattern) -> None:
    assert parse_pattern(text) == pattern


def test_an_ipv6_address_that_ends_like_ipv4_is_one() -> None:
    assert allows(["[::ffff:192.0.2.7]"], "[::FFFF:192.0.2.7]")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://example.com", "leave scheme and path out"),
        ("example.com/", "leave scheme and path out"),
        (".example.com", r"write \*\.example\.com for all names below it"),
        ("münchen.example", "xn--"),
        ("", "is not a host name"),
        ("*", "is not a host name"),
        ("*.", "is not a host name"),
        ("*example.com", "is not a host name"),
        ("a.*.example.com", "is not a host name"),
        ("*.*.example.com", "is not a host name"),
        ("a b", "is not a host name"),
        ("a,b", "is not a host name"),
        ("a..b", "is not a host name"),
        ("a..", "is not a host name"),
        ("user@example.com", "is not a host name"),
        ("example.com:http", "is not a host name"),
        ("example.com:65536", "is not a host name"),
        ("example.com:-1", "is not a host name"),
        ("[::1", "is not a host name"),
        ("[::1]80", "is not a host name"),
        ("[fe80::1%eth0]", "is not a host name"),
        ("[example.com]", "is not a host name"),
        ("1:2:3", "is not a host name"),
        ("x" * 64, "is not a host name"),
        (".".join(["x" * 60] * 5), "is not a host name"),
        ("*.192.0.2.7", "nothing is below an IP address"),
        ("*.[::1]", "is not a host name"),
        ("192.0.2", "is not an IP address"),
        ("192.0.2.256", "is not an IP address"),
        ("192.0.2.07", "is not an IP address"),
    ],
)
def test_what_is_no_pattern_has_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_pattern(text)


@pytest.mark.parametrize(
    ("pattern", "host"),
    [
        ("example.com", "example.com"),
        ("example.com", "EXAMPLE.Com"),
        ("example.com", "example.com."),
        ("example.com", "example.com:8000"),
        ("example.com", "example.com.:8000"),
        ("example.com.", "example.com"),
        ("example.com:8000", "example.com:8000"),
        ("example.com:8000", "example.com:08000"),
        ("example.com:80", "example.com"),
        ("example.com:80", "example.com:"),
        ("*.example.com", "a.example.com"),
        ("*.example.com", "A.B.Example.COM.:8000"),
        ("*.example.com:80", "a.example.com"),
        ("*.localhost", "app.localhost"),
        ("192.0.2.7", "192.0.2.7:8000"),
        ("::1", "[::1]:8000"),
        ("[2001:db8::1]", "[2001:DB8:0:0:0:0:0:1]"),
    ],
)
def test_hosts_that_are_allowed(pattern: str, host: str) -> None:
    assert allows([pattern], host)
    assert allows(["other.example", pattern, "*.other.example"], host)


@pytest.mark.parametrize(
    ("pattern", "host"),
    [
        ("example.com", "example.org"),
        ("example.com", "a.example.com"),
        ("example.com", "example.com.evil.test"),
        ("example.com", "evilexample.com"),
        ("example.com", "example.com.."),
        ("example.com", "x-example.com"),
        ("example.com", "ex%61mple.com"),
        ("example.com", "user@example.com"),
        ("example.com", "example.com,evil.test"),
        ("example.com", "evil.test:80example.com"),
        ("example.com", "[example.com]"),
        ("example.com", "example.com:99999"),
        ("example.com", ""),
        ("example.com", "\xe9xample.com"),
        ("example.com:8000", "example.com"),
        ("example.com:8000", "example.com:8001"),
        ("example.com:8000", "example.com:"),
        ("*.example.com", "example.com"),
        ("*.example.com", "evilexample.com"),
        ("*.example.com", ".example.com"),
        ("*.example.com", "a..example.com"),
        ("*.example.com", "evil.test/.example.com"),
        ("*.example.com", "evil%2f.example.com"),
        ("*.example.com", "evil;.example.com"),
        ("*.example.com", "[evil].example.com"),
        ("*.example.com", "evil.test:80.example.com"),
        ("*.example.com:8000", "a.example.com"),
        ("192.0.2.7", "192.0.2.70"),
        ("192.0.2.7", "192.0.2.007"),
        ("192.0.2.7", "[::ffff:192.0.2.7]"),
        ("::1", "::1"),
        ("::1", "[::1%25lo]"),
        ("::1", "[::2]"),
        ("::1", "[v1.x]"),
    ],
)
def test_hosts_that_are_not(pattern: str, host: str) -> None:
    assert not allows([pattern], host)


def test_the_port_of_the_scheme_is_the_one_that_is_not_said() -> None:
    for scheme, port in (("http", 80), ("ws", 80), ("https", 443), ("wss", 443)):
        assert allows([f"example.com:{port}"], "example.com", scheme)
        assert not allows([f"example.com:{523 - port}"], "example.com", scheme)
    hosts = AllowedHosts(["example.com:443"])
    # What was remembered of one scheme says nothing of the other.
    assert hosts.allows(scope_of("example.com", "https"))
    assert not hosts.allows(scope_of("example.com", "http"))


def test_several_ports_of_one_host() -> None:
    assert [allows(["a:1", "a:2"], host) for host in ("a:1", "a:2", "a:3")] == [True, True, False]
    assert allows(["a:1", "a"], "a:3")
    assert allows(["a", "a:1"], "a:3")


def test_request_without_host_is_for_none_of_them() -> None:
    assert not allows(["example.com"], None)


def test_what_is_remembered_is_bounded() -> None:
    hosts = AllowedHosts(["*.example.com"])
    for number in range(3000):
        assert hosts.allows(scope_of(f"{number}.example.com"))
        assert not hosts.allows(scope_of(f"{number}.example.org"))
        assert len(hosts._known) <= 1024


def test_no_filter() -> None:
    assert make_filter(()) is None
    assert make_filter(("example.com", "*")) is None
    assert make_filter(("example.com",)) is not None
