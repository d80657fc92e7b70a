"""``--bind``: the grammar of a place to listen at, and when two of them are one.

Used by ``options`` (the kind of the option's values), ``checks`` (what goes together) and ``config`` (for settings).
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from addax.config.kinds import Boolean, Kind, Whole, as_text
from addax.config.texts import HostName, Mode, SocketPath
from addax.core.settings import Bind

#: Options that are one bind together, where ``--bind`` is not given.
SHORTHANDS = ("host", "port", "uds", "uds_mode", "fd")

_FORMS = "host:port, [v6]:port, unix:path, fd://number, systemd or systemd:NAME"
_UNIX = "unix:"
_FD = "fd://"
#: Sockets that systemd has passed: all of them, or with a colon those of a name.
_SYSTEMD = "systemd"
_DIGITS = re.compile(r"[0-9]{1,10}")
#: Settings of a Unix socket's file, and the field of ``Bind`` that each goes to.
_FILE_SETTINGS = {"mode": "uds_mode", "user": "uds_user", "group": "uds_group"}
#: The setting that every place has.
_TLS = "tls"


@dataclass(frozen=True)
class BindPlace(Kind):
    """A place to listen at; as a value it stays text."""

    metavar = "ADDRESS"

    def read(self, value: object) -> str:
        """See ``Kind.read``."""
        text = as_text(value).strip()
        parse_bind(text)
        return text

    def allowed(self) -> str:
        """See ``Kind.allowed``."""
        return _FORMS

    def to_setting(self, value: Any) -> Bind:
        """See ``Kind.to_setting``."""
        return parse_bind(value)


def parse_bind(text: str) -> Bind:
    """Read one value of ``--bind``.

    Raises:
        ValueError: it is no place to listen at; the message is the reason.
    """
    place, question_mark, query = text.partition("?")
    is_unix = place.startswith(_UNIX)
    settings = _parse_settings(text, query, is_unix) if question_mark else {}
    if is_unix:
        return Bind(uds=_parse_path(text, place[len(_UNIX) :]), **settings)
    if place.startswith(_FD):
        return Bind(fd=_number(text, place[len(_FD) :], "descriptor number", None), **settings)
    if _names_passed(place):
        if place.endswith(":"):
            raise ValueError(f"{text!r} has no name: write {_SYSTEMD}, or {_SYSTEMD}:NAME")
        return Bind(fd=place, **settings)
    if "://" in place:
        raise ValueError(f"{text!r} is not known: write {_FORMS}")
    host, port = _parse_tcp(text, place)
    return Bind(host=host, port=port, **settings)


def _parse_settings(text: str, query: str, is_unix: bool) -> dict[str, Any]:
    """What stands behind the question mark."""
    names = {**(_FILE_SETTINGS if is_unix else {}), _TLS: _TLS}
    found: dict[str, Any] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name not in names or not value:
            allowed = "mode=…, user=…, group=… and tls=…" if is_unix else "tls=on and tls=off"
            raise ValueError(f"{text!r}: {part!r} is not one of {allowed}")
        if names[name] in found:
            raise ValueError(f"{text!r}: {name} is there twice")
        found[names[name]] = _read_setting(name, value)
    return found


def _read_setting(name: str, value: str) -> Any:
    if name == "mode":
        return Mode().read(value)
    return Boolean().read(value) if name == _TLS else value


def _parse_path(text: str, path: str) -> str:
    if "\0" in path:
        raise ValueError(f"{text!r}: a path cannot hold a null character")
    return SocketPath().read(path)


def _parse_tcp(text: str, place: str) -> tuple[str | None, int]:
    host, colon, port = place.rpartition(":")
    if not colon or port.endswith("]"):
        raise ValueError(f"{text!r} is not known, or has no port: write {_FORMS}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not _is_ipv6(host.partition("%")[0]):
            raise ValueError(f"{text!r}: {host!r} is not an IPv6 address")
    elif ":" in host:
        raise ValueError(f"{text!r} is not clear: write an IPv6 address in brackets, as in [::1]:8000")
    return HostName().read(host) or None, _number(text, port, "port", 65535)


def _number(text: str, digits: str, what: str, high: int | None) -> int:
    if not _DIGITS.fullmatch(digits):
        raise ValueError(f"{text!r}: {digits!r} is not a {what}")
    return int(Whole(0, high).read(digits))


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def wants_tls(text: str) -> bool | None:
    """What a value that was read says of encryption; None: nothing."""
    return parse_bind(text).tls


def names_tcp(text: str) -> bool:
    """Whether a value that was read is a TCP address."""
    return parse_bind(text).is_tcp


def _names_passed(text: str) -> bool:
    # A host could be called so, and the name of a socket could be a number: here it is never a host.
    return text == _SYSTEMD or text.startswith(f"{_SYSTEMD}:")


def find_same(texts: Iterable[str]) -> tuple[str, str] | None:
    """Find two values that were read and are the same place, as far as that can be seen without asking anybody."""
    texts = list(texts)
    named = [text for text in texts if text != _SYSTEMD and _names_passed(text)]
    if named and _SYSTEMD in texts:
        return _SYSTEMD, named[0]
    seen: dict[Hashable, str] = {}
    for text in texts:
        place = _place(parse_bind(text))
        if place in seen:
            return seen[place], text
        if place is not None:
            seen[place] = text
    return None


def _place(bind: Bind) -> Hashable:
    """What tells one place from another; None: nothing is the same as this one."""
    if bind.fd is not None:
        return bind.fd
    if bind.uds is not None:
        return os.path.normpath(bind.uds)
    if bind.port == 0:
        return None
    host = (bind.host or "::").lower()
    try:
        return ipaddress.ip_address(host), bind.port
    except ValueError:
        return host, bind.port
