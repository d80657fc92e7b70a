"""One context of TLS, as the options describe it, with a certificate and its key; every mistake is told by its option.

Used by ``net.tls_material``, which knows which certificates there are.

Implements: RFC 8996 (no TLS 1.0 and 1.1), RFC 9325 (recommended ciphers), RFC 7301 (ALPN).
"""

from __future__ import annotations

import os
import ssl

from addax.core.errors import ConfigError
from addax.core.settings import TlsSettings
from addax.net.certificates import Certificate, read_certificate

#: For TLS 1.2: keys that are forgotten, and ciphers that authenticate (RFC 9325 §4.2). TLS 1.3 has no others.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_PROTOCOLS = ["http/1.1"]
#: ``ssl_version``, as numbers of Python's ssl module. The first two mean the same here.
_TAKEN_VERSIONS = (int(ssl.PROTOCOL_TLS_SERVER), 2, 5)
_ONLY_TLS_1_2 = 5
_OLD_VERSIONS = {1: "SSL 3.0", 3: "TLS 1.0", 4: "TLS 1.1"}

#: OpenSSL's reasons: two of a kind that are not a pair, and a key of a kind that there is no certificate for.
_NOT_ITS_KEY = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


def make_context(settings: TlsSettings, option: str = "ssl_certfile") -> ssl.SSLContext:
    """The context that the options describe.

    Args:
        settings: with a certificate.
        option: where that was named; for messages.

    Raises:
        ConfigError: something cannot be used.
    """
    if settings.certfile is None:
        raise ConfigError("ssl_certfile", "is needed: a server must have a certificate")
    context = _make_bare(settings)
    load_chain(context, option, settings.certfile, settings.keyfile, settings.password)
    return context


def _make_bare(settings: TlsSettings) -> ssl.SSLContext:
    """All but a certificate."""
    _check_version(settings.version)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.version == _ONLY_TLS_1_2:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    # In TLS 1.2 a client could have keys made again and again at our cost (CVE-2011-1473).
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    try:
        context.set_ciphers(settings.ciphers or CIPHERS)
    except ssl.SSLError as error:
        raise ConfigError("ssl_ciphers", f"OpenSSL knows none of the ciphers {settings.ciphers!r}") from error
    context.set_alpn_protocols(_PROTOCOLS)
    # One for each connection, as every connection gets one: a second costs 15 us more of each handshake.
    context.num_tickets = 1
    context.verify_mode = ssl.VerifyMode(settings.cert_reqs)
    if settings.ca_certs is not None:
        _load_authorities(context, settings.ca_certs)
    elif context.verify_mode != ssl.CERT_NONE:
        raise ConfigError("ssl_cert_reqs", "without ssl_ca_certs no client's certificate could be checked")
    return context


def _check_version(version: int) -> None:
    if version in _OLD_VERSIONS:
        raise ConfigError("ssl_version", f"{version} is {_OLD_VERSIONS[version]}, which is not secure (RFC 8996)")
    if version not in _TAKEN_VERSIONS:
        raise ConfigError("ssl_version", f"{version} is not one of 17 (TLS 1.2 and later) and 5 (TLS 1.2 alone)")


def _load_authorities(context: ssl.SSLContext, place: str) -> None:
    try:
        if os.path.isdir(place):
            # OpenSSL looks into it in a handshake only, and would find nothing without a word.
            os.listdir(place)
            context.load_verify_locations(capath=place)
        else:
            context.load_verify_locations(cafile=place)
    except (OSError, ValueError) as error:
        reason = "holds no certificates in PEM form" if isinstance(error, ssl.SSLError) else _words(error)
        raise ConfigError("ssl_ca_certs", f"{place!r}: {reason}") from error


def read(option: str, file: str) -> Certificate:
    """Read a certificate.

    Raises:
        ConfigError: it cannot be used; the message names the option.
    """
    try:
        return read_certificate(file)
    except OSError as error:
        raise ConfigError(option, f"{file!r} cannot be read: {_words(error)}") from error
    except ValueError as error:
        raise ConfigError(option, f"{file!r} {error}") from error


def load_chain(context: ssl.SSLContext, option: str, certfile: str, keyfile: str | None, password: str | None) -> None:
    """Load a certificate and its key; OpenSSL's few words become a reason.

    Raises:
        ConfigError: they cannot be used.
    """
    is_asked = False

    def ask() -> str:
        # OpenSSL would ask on the terminal.
        nonlocal is_asked
        is_asked = True
        return password or ""

    key_option = "ssl_keyfile" if option == "ssl_certfile" else option
    key_place = keyfile or certfile
    _check_key(key_option, keyfile, certfile)
    try:
        context.load_cert_chain(certfile, keyfile, ask)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None)
        if reason in _NOT_ITS_KEY:
            raise ConfigError(
                key_option, f"the private key in {key_place!r} is not that of the certificate in {certfile!r}"
            ) from error
        if is_asked:
            what = "is wrong for" if password else "is needed for"
            raise ConfigError("ssl_keyfile_password", f"{what} the private key in {key_place!r}") from error
        raise ConfigError(
            option, f"{certfile!r} and its key {key_place!r} cannot be used: {reason or _words(error)}"
        ) from error


def _check_key(option: str, keyfile: str | None, certfile: str) -> None:
    place = keyfile or certfile
    try:
        with open(place, "rb") as stream:
            has_key = b"PRIVATE KEY-----" in stream.read()
    except OSError as error:
        raise ConfigError(option, f"{place!r} cannot be read: {_words(error)}") from error
    if not has_key and keyfile is None:
        raise ConfigError(option, f"is needed: {certfile!r} holds no private key")
    if not has_key:
        raise ConfigError(option, f"{place!r} holds no private key in PEM form")


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
