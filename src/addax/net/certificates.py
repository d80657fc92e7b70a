"""What a certificate says of itself: for whom it is, until when, and itself as text.

Used by ``net.tls_material``. Python's ``ssl`` shows these facts of a peer's certificate only; ``decode`` gets at those
of a file by the function that the module's own tests use, which CPython has had since 2.6 and PyPy has as well. Where
it is missing, a certificate is served all the same, and its expiry is not watched.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"
_DAY_S = 86400.0

#: RFC 4514 §3, and the identifiers of others that are met often (RFC 4519, RFC 2985). By OpenSSL's long names.
_ATTRIBUTES = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
    "emailAddress": "1.2.840.113549.1.9.1",
    "surname": "2.5.4.4",
    "serialNumber": "2.5.4.5",
    "businessCategory": "2.5.4.15",
    "postalCode": "2.5.4.17",
    "title": "2.5.4.12",
    "givenName": "2.5.4.42",
    "initials": "2.5.4.43",
    "generationQualifier": "2.5.4.44",
    "dnQualifier": "2.5.4.46",
    "pseudonym": "2.5.4.65",
    "organizationIdentifier": "2.5.4.97",
    "jurisdictionLocalityName": "1.3.6.1.4.1.311.60.2.1.1",
    "jurisdictionStateOrProvinceName": "1.3.6.1.4.1.311.60.2.1.2",
    "jurisdictionCountryName": "1.3.6.1.4.1.311.60.2.1.3",
}
#: Identifiers of keys as they stand in a certificate (RFC 3279 §2.3, RFC 8410 §3), in DER.
_KEY_KINDS = {
    b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01": "RSA",
    b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01": "EC",
    b"\x06\x03\x2b\x65\x70": "Ed25519",
    b"\x06\x03\x2b\x65\x71": "Ed448",
}
_ESCAPED = frozenset('",+;<>\\')


@dataclass(frozen=True)
class Certificate:
    """A server's own certificate.

    Attributes:
        file: where it was read.
        pem: the certificate without the rest of its chain, as text.
        names: hosts that it is for, lower case, ``*.`` in front for all hosts one level below.
        begins_at: when it becomes valid, in seconds since the epoch; None: unknown.
        ends_at: when it expires.
        addresses: IP addresses that it is for, as OpenSSL writes them; clients do not ask for these (RFC 6066 §3).
    """

    file: str
    pem: str
    names: frozenset[str] = field(default_factory=frozenset)
    begins_at: float | None = None
    ends_at: float | None = None
    addresses: frozenset[str] = field(default_factory=frozenset)

    @property
    def key_kind(self) -> str:
        """Of what kind its key is; empty if of none that is known here."""
        der = ssl.PEM_cert_to_DER_cert(self.pem)
        return next((kind for identifier, kind in _KEY_KINDS.items() if identifier in der), "")

    @property
    def subject(self) -> str:
        """The names in a few words, for the log."""
        return ", ".join([*sorted(self.names), *sorted(self.addresses)]) or "no host name"

    def days_left(self, now: float) -> float | None:
        """How many days it is still valid at ``now``; negative: it has expired. None: unknown."""
        return None if self.ends_at is None else (self.ends_at - now) / _DAY_S

    def is_near_end(self, now: float, days: float) -> bool:
        """Whether it expires within so many days, or within the last third of its time where that is shorter."""
        left = self.days_left(now)
        if left is None:
            return False
        if self.begins_at is not None and self.ends_at is not None:
            days = min(days, (self.ends_at - self.begins_at) / _DAY_S / 3)
        return left < days


def read_certificate(file: str) -> Certificate:
    """Read the first certificate of a file, which is a server's own.

    Raises:
        OSError: the file cannot be read.
        ValueError: there is no certificate in it.
    """
    with open(file, encoding="utf-8", errors="replace") as stream:
        text = stream.read()
    begin = text.find(_BEGIN)
    end = text.find(_END, begin)
    if begin < 0 or end < 0:
        raise ValueError("holds no certificate in PEM form")
    pem = text[begin : end + len(_END)] + "\n"
    facts = decode(file)
    return Certificate(
        file,
        pem,
        frozenset(_names(facts)),
        _seconds(facts.get("notBefore")),
        _seconds(facts.get("notAfter")),
        frozenset(value for kind, value in facts.get("subjectAltName", ()) if kind == "IP Address"),
    )


def decode(file: str) -> dict[str, Any]:
    """The facts of the first certificate of a file, as ``SSLSocket.getpeercert`` gives them; empty if unknown."""
    try:
        facts: dict[str, Any] = ssl._ssl._test_decode_cert(file)  # type: ignore[attr-defined]  # see the module's text
    except (AttributeError, OSError):
        return {}
    return facts


def _names(facts: Mapping[str, Any]) -> list[str]:
    found = [value for kind, value in facts.get("subjectAltName", ()) if kind == "DNS"]
    if "subjectAltName" not in facts:
        # Old certificates have nothing else. What is no host name matches none.
        found = [value for parts in facts.get("subject", ()) for name, value in parts if name == "commonName"]
    return [name.lower().rstrip(".") for name in found]


def _seconds(text: str | None) -> float | None:
    return None if text is None else float(ssl.cert_time_to_seconds(text))


def format_date(when: float) -> str:
    """A day for the log."""
    return time.strftime("%Y-%m-%d", time.gmtime(when))


def format_name(subject: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """A distinguished name as text (RFC 4514), from the form that ``getpeercert`` gives.

    Attributes without a short name in the RFC have their identifier in front, and their value as text.
    """
    return ",".join(
        "+".join(f"{_ATTRIBUTES.get(name, name)}={_escape(value)}" for name, value in parts)
        for parts in reversed(subject)
    )


def _escape(value: str) -> str:
    """RFC 4514 §2.4."""
    last = len(value) - 1
    out: list[str] = []
    for index, character in enumerate(value):
        if character == "\0":
            out.append("\\00")
        elif character in _ESCAPED or (character == "#" and index == 0) or (character == " " and index in (0, last)):
            out.append("\\" + character)
        else:
            out.append(character)
    return "".join(out)
