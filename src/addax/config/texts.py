"""Kinds of option values that are text with a grammar of its own: hosts, paths, field lines, lists of trusted peers.

Used by ``options``; the rules for every kind are in ``kinds``.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from addax.asgi.allowed_hosts import parse_pattern
from addax.asgi.trusted_peers import parse_item
from addax.config.kinds import Kind, as_text
from addax.core.errors import ConfigError
from addax.observe.atoms import NAMED_TEMPLATES, Template

#: RFC 9110 §5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: What RFC 9110 §5.5 does not allow in a field value: controls other than tab.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OCTAL = re.compile(r"(?:0o)?[0-7]{1,4}")
#: Field lines that say how one message is framed or what becomes of its connection: one value cannot fit all.
_OURS = frozenset({"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})


@dataclass(frozen=True)
class HostName(Kind):
    """What to bind: a name or an IP address, without port, scheme or brackets; ``*`` or empty: every interface."""

    metavar = "HOST"

    def read(self, value: object) -> str:
        """See ``Kind.read``."""
        host = as_text(value)
        if host == "*":
            # The name service of some systems, and no other, takes it for every interface; and it makes no URL.
            return ""
        if "://" in host or "/" in host:
            raise ValueError(f"{host!r} is not a host: leave scheme and path out")
        if host.startswith("[") or host.endswith("]"):
            raise ValueError(f"{host!r} is not a host: write an IPv6 address without brackets")
        if any(character.isspace() or not character.isprintable() for character in host):
            raise ValueError(f"{host!r} is not a host: it holds white space or control characters")
        if ":" in host and not _is_ip(host.partition("%")[0]):
            raise ValueError(f"{host!r} is neither a host nor an IPv6 address (the port has an option of its own)")
        return host


@dataclass(frozen=True)
class SocketPath(Kind):
    """Where a Unix socket is made: in a directory that exists."""

    metavar = "PATH"

    def read(self, value: object) -> str:
        """See ``Kind.read``."""
        path = as_text(value)
        directory = os.path.dirname(path)
        if not path:
            raise ValueError("the path is empty")
        if path.startswith("@"):
            # nginx, HAProxy and systemd write them so. They have no file, and so nobody who may not use them.
            raise ValueError(f"{path!r} is an abstract socket, which everybody may use: write ./{path} for a file")
        if directory and not os.path.isdir(directory):
            raise ValueError(f"directory {directory!r} does not exist")
        if os.path.isdir(path):
            raise ValueError(f"{path!r} is a directory")
        return path


@dataclass(frozen=True)
class Mode(Kind):
    """Permission bits: octal text, or a number from code (0o660)."""

    metavar = "OCTAL"

    def read(self, value: object) -> int:
        """See ``Kind.read``."""
        if isinstance(value, str) and _OCTAL.fullmatch(value.strip()):
            value = int(value.strip(), 8)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 0o777:
            raise ValueError(f"{value!r} is not an octal mode between 0 and 777")
        return value

    def allowed(self) -> str:
        """See ``Kind.allowed``."""
        return "octal, 0 to 777"


@dataclass(frozen=True)
class RootPath(Kind):
    """A path prefix: empty, or from the first slash on, percent-decoded."""

    metavar = "PATH"

    def read(self, value: object) -> str:
        """See ``Kind.read``."""
        path = as_text(value)
        if path and not path.startswith("/"):
            raise ValueError(f"{path!r} does not start with '/'")
        if "?" in path or "#" in path or not path.isprintable():
            raise ValueError(f"{path!r} is not a path: it holds '?', '#' or control characters")
        return path


@dataclass(frozen=True)
class CertificatePair(Kind):
    """``CERTFILE`` or ``CERTFILE,KEYFILE``; code may pass a pair as well. As a value it is a pair."""

    metavar = "FILE[,KEYFILE]"

    def read(self, value: object) -> tuple[str, str | None]:
        """See ``Kind.read``."""
        parts: list[Any] = list(value) if isinstance(value, (tuple, list)) else [*as_text(value).split(",")]
        if len(parts) == 1:
            parts.append(None)
        if len(parts) != 2 or not parts[0] or parts[1] == "":
            raise ValueError(f"{value!r} is neither a file nor two with a comma between them")
        return as_text(parts[0]), None if parts[1] is None else as_text(parts[1])


@dataclass(frozen=True)
class FieldLine(Kind):
    """A field line for every response: ``Name:Value``, or a pair of texts from code."""

    metavar = "NAME:VALUE"

    def read(self, value: object) -> tuple[str, str]:
        """See ``Kind.read``."""
        name, text = self._pair(value)
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not a field name (RFC 9110 §5.1)")
        if name.lower() in _OURS:
            raise ValueError(f"{name!r} is set by the server for each response")
        if _CONTROL.search(text):
            raise ValueError(f"the value of {name!r} holds line breaks or other control characters")
        try:
            text.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(f"the value of {name!r} holds characters outside of ISO-8859-1") from None
        return name, text.strip(" \t")

    @staticmethod
    def _pair(value: object) -> tuple[str, str]:
        if isinstance(value, str):
            name, colon, text = value.partition(":")
            if not colon:
                raise ValueError(f"{value!r} has no colon: write Name:Value")
            return name, text
        if isinstance(value, (tuple, list)) and len(value) == 2:
            name, text = (part.decode("latin-1") if isinstance(part, bytes) else part for part in value)
            if isinstance(name, str) and isinstance(text, str):
                return name, text
        raise ValueError(f"{value!r} is not a pair of texts")

    def to_setting(self, value: Any) -> tuple[bytes, bytes]:
        """See ``Kind.to_setting``."""
        name, text = value
        return name.lower().encode("ascii"), text.encode("latin-1")


@dataclass(frozen=True)
class TrustedPeers(Kind):
    """Peers whose forwarded fields are believed, separated by commas: addresses, networks, names, ``unix:``, ``*``."""

    metavar = "LIST"

    def read(self, value: object) -> list[str]:
        """See ``Kind.read``."""
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, Iterable) or isinstance(parts, bytes):
            raise ValueError(f"{value!r} is neither text nor a list of texts")
        items = [as_text(part).strip() for part in parts]
        if items == [""]:
            # Nobody. One that is empty among others is a mistake: a variable that was not set, for example.
            return []
        for item in items:
            parse_item(item)
        return items

    def to_setting(self, value: Any) -> tuple[str, ...]:
        """See ``Kind.to_setting``."""
        return tuple(value)


#: RFC 6454 §6.2: scheme, host and perhaps a port, nothing else. The host may begin with "*." here.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:\*\.)?(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


@dataclass(frozen=True)
class OriginPattern(Kind):
    """An origin, all subdomains of one, ``null``, or ``*`` for all."""

    metavar = "ORIGIN"

    def read(self, value: object) -> str:
        """See ``Kind.read``."""
        origin = as_text(value).strip().lower()
        if origin not in ("*", "null") and _ORIGIN.fullmatch(origin) is None:
            raise ValueError(f"{origin!r} is not an origin: write scheme://host or scheme://host:port, without a path")
        return origin


@dataclass(frozen=True)
class HostPattern(Kind):
    """A host that is served, all names below one, or ``*`` for every host."""

    metavar = "HOST"

    def read(self, value: object) -> str:
        """See ``Kind.read``."""
        host = as_text(value).strip().lower()
        if host != "*":
            parse_pattern(host)
        return host


@dataclass(frozen=True)
class AccessFormat(Kind):
    """The name of an access log format, or a template with gunicorn's atoms.

    Attributes:
        names: formats that are no template.
    """

    names: tuple[str, ...]
    metavar = "NAME|TEMPLATE"

    def read(self, value: object) -> str:
        """See ``Kind.read``."""
        text = as_text(value)
        if text not in self.names:
            try:
                Template(text)
            except ConfigError as error:
                raise ValueError(error.reason) from error
        return text

    def allowed(self) -> str:
        """See ``Kind.allowed``."""
        return ", ".join((*self.names, *NAMED_TEMPLATES)) + ", or a template such as '%(h)s %(r)s %(s)s'"


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
