"""Reads options by the table: values, contradictions between them, and what this version does not have.

The same checks hold for the command line, the environment and code; only the spelling of the names in messages differs,
so it is passed in. Used by ``config.config`` and ``addax.cli``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from addax._pure import PURE_VARIABLE
from addax._version import __version__
from addax.config.binds import SHORTHANDS, find_same, names_tcp, wants_tls
from addax.config.kinds import Choice, Whole
from addax.config.options import APP_VARIABLE, BY_NAME, ENV_PREFIX, OPTIONS
from addax.core.errors import ConfigError

Spelling = Callable[[str], str]


def as_parameter(name: str) -> str:
    """How code spells an option: ``reload_dirs``."""
    return name


def as_flag(name: str) -> str:
    """How the command line spells an option: ``--reload-dir``."""
    return BY_NAME[name].flag


@dataclass(frozen=True)
class Contradiction:
    """Two values that cannot both be meant.

    Attributes:
        name: the option that the message starts with.
        holds: says of all values together whether the contradiction is there.
        reason: rest of the message; names of other options stand in braces.
    """

    name: str
    holds: Callable[[Mapping[str, Any]], bool]
    reason: str


def _has_certificate(values: Mapping[str, Any]) -> bool:
    return any(values[name] for name in ("ssl_keyfile", "ssl_certfile", "ssl_context_factory"))


_NO_CERTIFICATE = "has no effect without {ssl_certfile}"

CONTRADICTIONS: tuple[Contradiction, ...] = (
    Contradiction("uds", lambda v: v["uds"] is not None and v["fd"] is not None, "cannot be used together with {fd}"),
    Contradiction("uds_mode", lambda v: v["uds_mode"] is not None and v["uds"] is None, "has no effect without {uds}"),
    Contradiction(
        "h11_max_incomplete_event_size",
        lambda v: (
            v["h11_max_incomplete_event_size"] is not None
            and v["limit_head_size"] not in (BY_NAME["limit_head_size"].default, v["h11_max_incomplete_event_size"])
        ),
        "is another name of {limit_head_size}, and the two differ",
    ),
    Contradiction("preload", lambda v: v["preload"] and v["reload"], "cannot be used together with {reload}"),
    Contradiction("reuse_port", lambda v: v["reuse_port"] and v["uds"] is not None, "is for TCP, not for {uds}"),
    Contradiction("reuse_port", lambda v: v["reuse_port"] and v["fd"] is not None, "cannot be used together with {fd}"),
    Contradiction(
        "reuse_port",
        lambda v: v["reuse_port"] and not all(map(names_tcp, v["bind"])),
        "is for TCP, and not every {bind} is",
    ),
    Contradiction(
        "bind",
        lambda v: not _has_certificate(v) and any(wants_tls(text) for text in v["bind"]),
        "tls=on takes a certificate: {ssl_certfile}",
    ),
    Contradiction(
        "bind",
        lambda v: _has_certificate(v) and bool(v["bind"]) and all(wants_tls(text) is False for text in v["bind"]),
        "tls=off is said of every place, so {ssl_certfile} has no effect",
    ),
    Contradiction(
        "ssl_keyfile_password", lambda v: v["ssl_keyfile_password"] and not _has_certificate(v), _NO_CERTIFICATE
    ),
    Contradiction("ssl_ciphers", lambda v: v["ssl_ciphers"] and not _has_certificate(v), _NO_CERTIFICATE),
    Contradiction("http_redirect", lambda v: v["http_redirect"] and not _has_certificate(v), _NO_CERTIFICATE),
    Contradiction("ssl_ca_certs", lambda v: v["ssl_ca_certs"] and not _has_certificate(v), _NO_CERTIFICATE),
    Contradiction("ssl_cert_reqs", lambda v: v["ssl_cert_reqs"] and not _has_certificate(v), _NO_CERTIFICATE),
    Contradiction("ssl_extra_certs", lambda v: bool(v["ssl_extra_certs"]) and not _has_certificate(v), _NO_CERTIFICATE),
    Contradiction(
        "lifespan",
        lambda v: v["lifespan"] == "on" and v["interface"] == "wsgi",
        "a WSGI application has no lifespan events, so 'on' does not go with {interface} wsgi",
    ),
    Contradiction(
        "forwarded_fields",
        lambda v: bool(v["forwarded_fields"]) and not v["proxy_headers"],
        "has no effect when {proxy_headers} is switched off",
    ),
    Contradiction(
        "forwarded_hops",
        lambda v: v["forwarded_hops"] is not None and not v["proxy_headers"],
        "has no effect when {proxy_headers} is switched off",
    ),
)


def check(values: Mapping[str, Any], spelling: Spelling = as_parameter, counts_defaults: bool = True) -> dict[str, Any]:
    """Read values that somebody gave, and check them against each other and against the defaults of the rest.

    Args:
        values: option names and values in any form that ``Option.read`` takes.
        spelling: how messages name an option.
        counts_defaults: whether who gives an option its default has asked for it. Not where all options have a value.

    Returns:
        The same options with their values in the one form that addax uses.

    Raises:
        ConfigError: a value is wrong, contradicts another, or needs what this version does not have.
    """
    given = {name: read(name, value, spelling) for name, value in values.items()}
    everything = {option.name: option.default for option in OPTIONS} | given
    asked = {name for name, value in given.items() if counts_defaults or value != BY_NAME[name].default}
    _check_binds(everything["bind"], asked, spelling)
    for contradiction in CONTRADICTIONS:
        if contradiction.holds(everything):
            reason = re.sub(r"{(\w+)}", lambda found: spelling(found[1]), contradiction.reason)
            raise ConfigError(spelling(contradiction.name), reason)
    for name, value in given.items():
        if not BY_NAME[name].is_ready(value):
            raise ConfigError(spelling(name), not_yet(name, value))
    return given


def _check_binds(binds: Sequence[str], asked: Set[str], spelling: Spelling) -> None:
    if not binds:
        return
    for name in SHORTHANDS:
        if name in asked:
            raise ConfigError(spelling(name), f"cannot be used together with {spelling('bind')}")
    same = find_same(binds)
    if same is not None:
        first, second = same
        reason = f"{first!r} is given twice" if first == second else f"{first!r} and {second!r} are the same address"
        raise ConfigError(spelling("bind"), reason)


def read(name: str, value: object, spelling: Spelling = as_parameter) -> Any:
    """Read one value.

    Raises:
        ConfigError: it cannot be used.
    """
    try:
        return BY_NAME[name].read(value)
    except (ValueError, TypeError) as error:
        raise ConfigError(spelling(name), str(error)) from error


def respell(error: ConfigError, spelling: Spelling) -> ConfigError:
    """The same error with the option's name in another spelling; names that are no option's stay as they are."""
    for option in OPTIONS:
        if error.option in (option.name, option.flag):
            return ConfigError(spelling(option.name), error.reason)
    return error


def not_yet(name: str, value: object) -> str:
    """The reason for refusing a value whose feature is still missing; shows only values that cannot be secret."""
    what = f"{value!r} is " if isinstance(BY_NAME[name].kind, (Choice, Whole)) else ""
    return f"{what}not available in addax {__version__} yet"


def read_environment(environ: Mapping[str, str]) -> dict[str, str | list[str]]:
    """Options that the environment gives, as text; empty variables count as not set.

    Values of options that can be given several times are cut at white space, directories at ``os.pathsep``.
    """
    found: dict[str, str | list[str]] = {}
    for option in OPTIONS:
        text = environ.get(option.variable, "") if option.variable else ""
        if text:
            found[option.name] = option.kind.split(text) if option.multiple else text
    return found


def misspelt_variables(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Variables that look like those of an option but are not.

    Returns:
        Pairs: the variable as it is set, and the nearest one that exists.
    """
    import difflib  # for a mistake only, and not at each start

    known = [option.variable for option in OPTIONS if option.variable] + [APP_VARIABLE, PURE_VARIABLE]
    found: list[tuple[str, str]] = []
    for name in sorted(environ):
        if name.startswith(ENV_PREFIX) and name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            found.extend((name, near) for near in nearest)
    return found
