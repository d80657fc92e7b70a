"""What a certificate says of itself."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from addax.net import certificates
from addax.net.certificates import Certificate, format_date, format_name, read_certificate
from tests.certificates import DAY_S, Authority

NOW = 1_800_000_000.0


def test_names_and_addresses(authority: Authority) -> None:
    files = authority.server("B.example", "*.A.example", "127.0.0.1", "::1")
    certificate = read_certificate(str(files.certfile))
    assert certificate.file == str(files.certfile)
    assert certificate.names == {"b.example", "*.a.example"}
    assert certificate.addresses == {"127.0.0.1", "0:0:0:0:0:0:0:1"}
    assert certificate.subject == "*.a.example, b.example, 0:0:0:0:0:0:0:1, 127.0.0.1"


def test_old_certificate_has_its_name_in_the_subject(authority: Authority) -> None:
    assert read_certificate(str(authority.server(subject="/O=x/CN=Old.Example").certfile)).names == {"old.example"}
    nameless = read_certificate(str(authority.server(subject="/O=x").certfile))
    assert nameless.names == frozenset()
    assert nameless.subject == "no host name"


def test_common_name_beside_alternative_ones_means_nothing(authority: Authority) -> None:
    assert read_certificate(str(authority.server("127.0.0.1", subject="/CN=cn.example").certfile)).names == frozenset()


def test_dates(authority: Authority) -> None:
    files = authority.server("a.example", begins_in_s=-DAY_S, ends_in_s=3 * DAY_S)
    certificate = read_certificate(str(files.certfile))
    assert certificate.begins_at is not None
    assert certificate.ends_at is not None
    assert certificate.ends_at - certificate.begins_at == pytest.approx(4 * DAY_S, abs=2)
    assert certificate.days_left(certificate.ends_at - DAY_S) == 1.0
    assert certificate.days_left(certificate.ends_at + 2 * DAY_S) == -2.0


@pytest.mark.parametrize(("key", "kind"), [("ec", "EC"), ("rsa", "RSA")])
def test_kind_of_a_key(authority: Authority, key: str, kind: str) -> None:
    # Its authority's key, which is of another kind, has signed it.
    assert read_certificate(str(authority.server("a.example", key=key).certfile)).key_kind == kind


def test_first_certificate_of_a_chain_is_the_servers(authority: Authority) -> None:
    files = authority.intermediate().server("a.example")
    assert files.certfile.read_text().count("BEGIN CERTIFICATE") == 2
    for path in (files.certfile, files.combined):
        certificate = read_certificate(str(path))
        assert certificate.pem == files.pem == ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(files.pem))
        assert certificate.names == {"a.example"}


def test_text_around_it_does_not_matter(authority: Authority, tmp_path: Path) -> None:
    files = authority.server("a.example")
    path = tmp_path / "described.pem"
    path.write_bytes(b"Subject: M\xfcller\n" + files.pem.encode() + b"\xff\n")
    certificate = read_certificate(str(path))
    assert certificate.pem == files.pem
    assert certificate.names == {"a.example"}


@pytest.mark.parametrize(
    "text",
    ["", "\n", "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n", "\0"],
)
def test_file_without_a_certificate(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.pem"
    path.write_text(text)
    with pytest.raises(ValueError, match="holds no certificate in PEM form"):
        read_certificate(str(path))


def test_facts_are_unknown_where_python_does_not_tell_them(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "nonsense.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert certificates.decode(str(path)) == {}
    monkeypatch.delattr(ssl._ssl, "_test_decode_cert")  # type: ignore[attr-defined]
    certificate = read_certificate(str(authority.server("a.example").certfile))
    assert certificate.pem
    assert (certificate.names, certificate.begins_at, certificate.ends_at) == (frozenset(), None, None)
    assert certificate.days_left(NOW) is None
    assert not certificate.is_near_end(NOW, 14)


@pytest.mark.parametrize(
    ("lifetime_days", "left_days", "warning_days", "expected"),
    [
        (90, 15, 14, False),
        (90, 14, 14, False),
        (90, 13.9, 14, True),
        (90, -1, 14, True),
        # A third of the time.
        (6, 2.1, 14, False),
        (6, 1.9, 14, True),
        (6, 1.9, 1, False),
        (90, 29, 60, True),
        (90, 31, 60, False),
    ],
)
def test_near_its_end(lifetime_days: float, left_days: float, warning_days: float, expected: bool) -> None:
    ends_at = NOW + left_days * DAY_S
    certificate = Certificate("f", "", frozenset(), ends_at - lifetime_days * DAY_S, ends_at)
    assert certificate.is_near_end(NOW, warning_days) == expected


def test_near_its_end_without_a_beginning() -> None:
    assert Certificate("f", "", ends_at=NOW + 13 * DAY_S).is_near_end(NOW, 14)


def test_date_for_the_log() -> None:
    assert format_date(0.0) == "1970-01-01"
    assert format_date(951_827_696.0) == "2000-02-29"


def _subject(*levels: tuple[tuple[str, str], ...]) -> Any:
    return levels


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        (_subject(), ""),
        # RFC 4514 §4.
        (
            _subject((("domainComponent", "net"),), (("domainComponent", "example"),), (("userId", "jsmith"),)),
            "UID=jsmith,DC=example,DC=net",
        ),
        (
            _subject((("domainComponent", "net"),), (("organizationalUnitName", "Sales"), ("commonName", "J.  Smith"))),
            "OU=Sales+CN=J.  Smith,DC=net",
        ),
        (_subject((("commonName", 'James "Jim" Smith, III'),)), 'CN=James \\"Jim\\" Smith\\, III'),
        (_subject((("commonName", "Lu\u010di\u0107"),)), "CN=Lu\u010di\u0107"),
        (
            _subject((("countryName", "DE"),), (("stateOrProvinceName", "B"),), (("localityName", "M"),)),
            "L=M,ST=B,C=DE",
        ),
        (_subject((("organizationName", "O"),), (("streetAddress", "S"),)), "STREET=S,O=O"),
        (_subject((("emailAddress", "a@b.example"),)), "1.2.840.113549.1.9.1=a@b.example"),
        (_subject((("serialNumber", "1"),), (("surname", "S"),)), "2.5.4.4=S,2.5.4.5=1"),
        (_subject((("1.2.3.4", "x"),)), "1.2.3.4=x"),
        (_subject((("commonName", " a "),)), "CN=\\ a\\ "),
        (_subject((("commonName", " "),)), "CN=\\ "),
        (_subject((("commonName", "#a#"),)), "CN=\\#a#"),
        (_subject((("commonName", "a+b;c<d>e\\f=g"),)), "CN=a\\+b\\;c\\<d\\>e\\\\f=g"),
        (_subject((("commonName", "a\0b"),)), "CN=a\\00b"),
        (_subject((("commonName", ""),)), "CN="),
    ],
)
def test_name_as_text(subject: Any, text: str) -> None:
    assert format_name(subject) == text
