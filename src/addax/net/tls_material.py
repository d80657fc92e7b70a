"""Certificates and rules of TLS: made from the options, all of it or nothing, with every mistake told by its option.

Made by ``config.config.Config.load``, and once more whenever the files have changed (``net.tls_watch``). A connection
keeps what it began with.

Implements: RFC 6066 §3 (server name), ASGI extension ``tls`` (version 0.2).
"""

from __future__ import annotations

import dataclasses
import functools
import os
import ssl
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from addax.core.errors import ConfigError
from addax.core.settings import TlsSettings
from addax.net import tls_context
from addax.net.certificates import Certificate, format_name

_VERSIONS = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}

#: Makes a context from what the options say; who calls it may change what it returns.
MakeContext = Callable[[], ssl.SSLContext]
ContextFactory = Callable[[MakeContext], ssl.SSLContext]
#: Of files, by which a change is noticed.
FileStates = tuple[tuple[int, int, int, int] | None, ...]


@dataclass
class Shown:
    """A context, and what is shown with it.

    Attributes:
        context: of hosts that are asked for by name.
        certificates: for these hosts, each with a key of another kind; the first one was loaded first.
    """

    context: ssl.SSLContext
    certificates: list[Certificate]

    @property
    def pem(self) -> str | None:
        """The certificate that clients are shown; None: of several, only OpenSSL knows which."""
        return self.certificates[0].pem if len(self.certificates) == 1 else None

    def is_for_hosts_of(self, certificate: Certificate) -> bool:
        """Whether both are for the same hosts."""
        own = self.certificates[0]
        return (own.names, own.addresses) == (certificate.names, certificate.addresses)


class TlsMaterial:
    """Everything that a handshake needs.

    Args:
        context: for clients that name no host, or one that no other certificate is for.
        common: what is shown with that context; None: unknown, because it was made elsewhere.
        others: for hosts of their own.
        files: what was read, to be watched.
        certificates: all that are served, for their dates.
        seen: what ``look_at`` had said of the files before they were read; None: it was not asked.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        common: Shown | None = None,
        others: Sequence[Shown] = (),
        files: Sequence[str] = (),
        certificates: Sequence[Certificate] = (),
        seen: FileStates | None = None,
    ) -> None:
        self.context = context
        self.seen = seen
        self.files = tuple(files)
        self.certificates = tuple(certificates)
        self._pems = {id(context): None if common is None else common.pem}
        self._by_name: dict[str, ssl.SSLContext] = {}
        self._own_names = frozenset() if common is None else common.certificates[0].names
        for other in others:
            self._pems[id(other.context)] = other.pem
            for name in other.certificates[0].names - self._own_names:
                self._by_name.setdefault(name, other.context)
        #: Kept, because the identities of their contexts are keys.
        self._others = tuple(others)
        self._suites = {cipher["name"]: cipher["id"] & 0xFFFF for cipher in context.get_ciphers()}
        self._asks_client = context.verify_mode != ssl.CERT_NONE
        chooser = context.sni_callback
        # A factory may return the same context again and again: it is to choose from what was read last.
        if chooser is None or isinstance(getattr(chooser, "__self__", None), TlsMaterial):
            context.sni_callback = self._choose if self._by_name else None
        self._has_chooser = context.sni_callback is not None

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

    def do_handshake(self, connection: ssl.SSLObject) -> None:
        """Go on with a handshake.

        Raises:
            OSError: as ``ssl.SSLObject.do_handshake``.
        """
        if not self._has_chooser:
            connection.do_handshake()
            return
        # Python decodes the name that a client wants as ASCII. If it is not, the client gets an alert, and stderr a
        # traceback that no logger has seen: any client could fill it.
        hook = sys.unraisablehook
        sys.unraisablehook = functools.partial(_tell_unless_a_name, hook)
        try:
            connection.do_handshake()
        finally:
            sys.unraisablehook = hook

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


def _tell_unless_a_name(tell: Callable[[sys.UnraisableHookArgs], Any], unraisable: sys.UnraisableHookArgs) -> None:
    """A ``sys.unraisablehook`` for the time of a handshake."""
    is_name = unraisable.object is None or isinstance(unraisable.object, bytes)
    if not (is_name and isinstance(unraisable.exc_value, UnicodeDecodeError)):
        tell(unraisable)


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
        factory: makes the common context, given what makes the one that the options describe; and in the same way
            that of each further host, as long as it goes by what it is given.

    Raises:
        ConfigError: something cannot be used; the message names the option, the file and what is wrong.
    """
    files = _files_of(settings)
    # Before they are read: what is written meanwhile is a change.
    seen = look_at(files)
    read: list[Certificate] = []
    if settings.certfile is not None:
        read.append(tls_context.read("ssl_certfile", settings.certfile))
    if factory is None:
        context, is_default = tls_context.make_context(settings), True
    else:
        context, is_default = _call(factory, settings)
    common = Shown(context, [read[0]]) if read and is_default else None
    shown = [] if common is None else [common]
    for certfile, keyfile in settings.extra_certs:
        certificate = tls_context.read("ssl_extra_certs", certfile)
        read.append(certificate)
        same = next((one for one in shown if one.is_for_hosts_of(certificate)), None)
        if same is not None:
            # The same hosts with a key of another kind: OpenSSL takes the one that the client understands.
            tls_context.load_chain(same.context, "ssl_extra_certs", certfile, keyfile, settings.password)
            _check_kind(certificate, same.certificates)
            same.certificates.append(certificate)
            continue
        if not certificate.names:
            raise ConfigError("ssl_extra_certs", f"{certfile!r} names no host that a client could ask for")
        own = dataclasses.replace(settings, certfile=certfile, keyfile=keyfile)
        shown.append(Shown(_make_other(own, factory if is_default else None), [certificate]))
    return TlsMaterial(context, common, [one for one in shown if one is not common], files, read, seen)


def look_at(files: Sequence[str]) -> FileStates:
    """What changes when a file is written or replaced, of each; None: it cannot be seen."""
    return tuple(map(_state_of, files))


def _state_of(file: str) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    # The last is changed by rights that are given or taken, too: who could not read a file may be able to now.
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns


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
        if certificate.key_kind == other.key_kind:
            raise ConfigError(
                "ssl_extra_certs",
                f"{certificate.file!r} is for the same hosts as {other.file!r}, and its key is of the same kind",
            )


def _call(factory: ContextFactory, settings: TlsSettings, option: str = "ssl_certfile") -> tuple[ssl.SSLContext, bool]:
    """Call it; returns its context, and whether that is the one with the certificate of the options."""
    made: list[ssl.SSLContext] = []

    def make_default() -> ssl.SSLContext:
        made.append(tls_context.make_context(settings, option))
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


def _make_other(settings: TlsSettings, factory: ContextFactory | None) -> ssl.SSLContext:
    """The context of a host's own certificate, which ``settings`` name as if it were the common one.

    Args:
        settings: the rules are as for all.
        factory: has changed the common context, so this one too: OpenSSL takes ciphers, ALPN and authorities from it.
    """
    if factory is not None:
        context, is_default = _call(factory, settings, "ssl_extra_certs")
        if is_default:
            return context
    return tls_context.make_context(settings, "ssl_extra_certs")
