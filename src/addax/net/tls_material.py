"""Certificates and rules of TLS: made from the options, all of it or nothing, with every mistake told by its option.

Made by ``config.config.Config.load``, and once more whenever the files have changed (``net.tls_watch``). A connection
keeps what it began with.

Implements: RFC 8996 (no TLS 1.0 and 1.1), RFC 9325 (recommended ciphers), RFC 6066 §3 (server name), RFC 7301 (ALPN),
ASGI extension ``tls`` (version 0.2).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from addax.core.errors import ConfigError
from addax.core.settings import TlsSettings
from addax.net.certificates import Certificate, format_name, read_certificate

#: For TLS 1.2: keys that are forgotten, and ciphers that authenticate (RFC 9325 §4.2). TLS 1.3 has no others.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_PROTOCOLS = ["http/1.1"]
_VERSIONS = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
#: ``ssl_version``, as numbers of Python's ssl module. The first two mean the same here.
_TAKEN_VERSIONS = (int(ssl.PROTOCOL_TLS_SERVER), 2, 5)
_ONLY_TLS_1_2 = 5
_OLD_VERSIONS = {1: "SSL 3.0", 3: "TLS 1.0", 4: "TLS 1.1"}

#: OpenSSL's reasons: two of a kind that are not a pair, and a key of a kind that there is no certificate for.
_NOT_ITS_KEY = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")

#: Makes a context from what the options say; who calls it may change what it returns.
MakeContext = Callable[[], ssl.SSLContext]
ContextFactory = Callable[[MakeContext], ssl.SSLContext]
#: Of files, by which a change is noticed.
FileStates = tuple[tuple[int, int, int] | None, ...]


class TlsMaterial:
    """Everything that a handshake needs.

    Args:
        context: for clients that name no host, or one that no other certificate is for.
        certificate: of that context; None: unknown, because it was made elsewhere.
        others: contexts for hosts of their own, with the certificate that was loaded first.
        files: what was read, to be watched.
        certificates: all that are served, for their dates.
        has_other_keys: the context has more certificates than this one, and only OpenSSL knows which it has shown.
        seen: what ``look_at`` had said of the files before they were read; None: it was not asked.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        certificate: Certificate | None = None,
        others: Sequence[tuple[ssl.SSLContext, Certificate]] = (),
        files: Sequence[str] = (),
        certificates: Sequence[Certificate] = (),
        has_other_keys: bool = False,
        seen: FileStates | None = None,
    ) -> None:
        self.context = context
        self.seen = seen
        self.files = tuple(files)
        self.certificates = tuple(certificates)
        self._pems = {id(context): None if certificate is None or has_other_keys else certificate.pem}
        self._by_name: dict[str, ssl.SSLContext] = {}
        self._own_names = certificate.names if certificate is not None else frozenset()
        for other, its_certificate in others:
            self._pems[id(other)] = its_certificate.pem
            for name in its_certificate.names - self._own_names:
                self._by_name.setdefault(name, other)
        #: Kept, because their identities are keys.
        self._others = [other for other, _ in others]
        self._suites = {cipher["name"]: cipher["id"] & 0xFFFF for cipher in context.get_ciphers()}
        self._asks_client = context.verify_mode != ssl.CERT_NONE
        if self._by_name and context.sni_callback is None:
            context.sni_callback = self._choose

    def _choose(self, connection: Any, name: str | None, _: ssl.SSLContext) -> None:
        """Called by OpenSSL in the handshake, with the host that the client wants."""
        context = self.find(name)
        if context is not None:
            connection.context = context

    def find(self, name: str | None) -> ssl.SSLContext | None:
        """The context of a host's own certificate; None: it is the common one."""
        if name is None:
            return None
        name = name.lower().rstrip(".")
        found = self._by_name.get(name)
        if found is None and name not in self._own_names:
            # A wildcard stands for one label (RFC 6125 §6.4.3).
            found = self._by_name.get("*." + name.partition(".")[2])
        return found

    def describe(self, connection: ssl.SSLObject) -> dict[str, Any]:
        """The ASGI extension ``tls`` of a connection whose handshake is complete."""
        suite = (connection.cipher() or ("",))[0]
        chain, name = _client(connection) if self._asks_client else ([], None)
        return {
            "server_cert": self._pems.get(id(connection.context)),
            "client_cert_chain": chain,
            "client_cert_name": name,
            # A certificate that is not in order ends the handshake: no request has one.
            "client_cert_error": None,
            "tls_version": _VERSIONS.get(connection.version() or ""),
            "cipher_suite": self._suites.get(suite),
        }


def _client(connection: ssl.SSLObject) -> tuple[list[str], str | None]:
    """The client's certificates as text, its own first, and its name; empty and None if it has shown none."""
    own = connection.getpeercert(binary_form=True)
    if own is None:
        return [], None
    chain = [own]
    if hasattr(connection, "get_unverified_chain"):
        # From Python 3.13 on; before, the client's own is all that can be had.
        chain = connection.get_unverified_chain() or chain
    facts = connection.getpeercert() or {}
    subject: Any = facts.get("subject", ())
    return [ssl.DER_cert_to_PEM_cert(one) for one in chain], format_name(subject)


# ---- from options


def load(settings: TlsSettings, factory: ContextFactory | None = None) -> TlsMaterial:
    """Read all files and make the contexts.

    Args:
        settings: what was asked for.
        factory: makes the common context, given what makes the one that the options describe.

    Raises:
        ConfigError: something cannot be used; the message names the option, the file and what is wrong.
    """
    files = _files_of(settings)
    # Before they are read: what is written meanwhile is a change.
    seen = look_at(files)
    read: list[Certificate] = []
    if settings.certfile is not None:
        read.append(_read_certificate("ssl_certfile", settings.certfile))
    if factory is None:
        context, is_default = _make_default(settings), True
    else:
        context, is_default = _call(factory, settings)
    common = read[0] if read and is_default else None
    others: list[tuple[ssl.SSLContext, Certificate]] = []
    has_other_keys = False
    for certfile, keyfile in settings.extra_certs:
        certificate = _read_certificate("ssl_extra_certs", certfile)
        read.append(certificate)
        if common is not None and (certificate.names, certificate.addresses) == (common.names, common.addresses):
            # The same hosts with a key of another kind: OpenSSL takes the one that the client understands.
            _load_chain(context, "ssl_extra_certs", certfile, keyfile, settings.password)
            _check_kind(certificate, read[:-1])
            has_other_keys = True
            continue
        if not certificate.names:
            raise ConfigError("ssl_extra_certs", f"{certfile!r} names no host that a client could ask for")
        other = _make_context(settings)
        _load_chain(other, "ssl_extra_certs", certfile, keyfile, settings.password)
        others.append((other, certificate))
    return TlsMaterial(context, common, others, files, read, has_other_keys, seen)


def look_at(files: Sequence[str]) -> FileStates:
    """What changes when a file is written or replaced, of each; None: it cannot be seen."""
    return tuple(map(_state_of, files))


def _state_of(file: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _files_of(settings: TlsSettings) -> list[str]:
    """What is read, each once."""
    files = [
        settings.certfile,
        settings.keyfile,
        settings.ca_certs,
        *(file for pair in settings.extra_certs for file in pair),
    ]
    return list(dict.fromkeys(file for file in files if file))


def _check_kind(certificate: Certificate, others: Sequence[Certificate]) -> None:
    """OpenSSL keeps one certificate for each kind of key, and would forget the other without a word."""
    for other in others:
        is_for_same = (certificate.names, certificate.addresses) == (other.names, other.addresses)
        if is_for_same and certificate.key_kind == other.key_kind:
            raise ConfigError(
                "ssl_extra_certs",
                f"{certificate.file!r} is for the same hosts as {other.file!r}, and its key is of the same kind",
            )


def _call(factory: ContextFactory, settings: TlsSettings) -> tuple[ssl.SSLContext, bool]:
    """Call it; returns its context, and whether that is the one with the certificate of the options."""
    made: list[ssl.SSLContext] = []

    def make_default() -> ssl.SSLContext:
        made.append(_make_default(settings))
        return made[-1]

    try:
        context = factory(make_default)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError("ssl_context_factory", f"it raised {error!r}") from error
    if not isinstance(context, ssl.SSLContext):
        raise ConfigError("ssl_context_factory", f"it returned {context!r}, which is not an ssl.SSLContext")
    return context, any(context is one for one in made)


def _make_default(settings: TlsSettings) -> ssl.SSLContext:
    """The context that the options describe."""
    if settings.certfile is None:
        raise ConfigError("ssl_certfile", "is needed: a server must have a certificate")
    context = _make_context(settings)
    _load_chain(context, "ssl_certfile", settings.certfile, settings.keyfile, settings.password)
    return context


def _make_context(settings: TlsSettings) -> ssl.SSLContext:
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
            context.load_verify_locations(capath=place)
        else:
            context.load_verify_locations(cafile=place)
    except (OSError, ValueError) as error:
        reason = "holds no certificates in PEM form" if isinstance(error, ssl.SSLError) else _words(error)
        raise ConfigError("ssl_ca_certs", f"{place!r}: {reason}") from error


def _read_certificate(option: str, file: str) -> Certificate:
    try:
        return read_certificate(file)
    except OSError as error:
        raise ConfigError(option, f"{file!r} cannot be read: {_words(error)}") from error
    except ValueError as error:
        raise ConfigError(option, f"{file!r} {error}") from error


def _load_chain(context: ssl.SSLContext, option: str, certfile: str, keyfile: str | None, password: str | None) -> None:
    """Load a certificate and its key; OpenSSL's few words become a reason."""
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
