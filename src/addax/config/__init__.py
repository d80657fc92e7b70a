"""Options, and what is made of them: the table, ``Config``, logging set-up, and finding the application.

The names here are those that embedders import from ``uvicorn.config``: mostly to offer the same choices themselves.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from addax.config.config import SSL_PROTOCOL_VERSION, STARTUP_FAILURE, Config
from addax.config.log_setup import LOG_LEVELS, LOGGING_CONFIG
from addax.core.registry import LOOPS, PARSERS, WEBSOCKETS
from addax.core.settings import TlsSettings

if TYPE_CHECKING:
    from ssl import SSLContext

#: Values of ``interface``.
INTERFACES = ("auto", "asgi3", "asgi2", "wsgi")
#: Values of ``lifespan``, ``http``, ``ws`` and ``loop``, and what they stand for; ``auto`` is the first one installed.
LIFESPAN: dict[str, str] = dict.fromkeys(("auto", "on", "off"), "addax.asgi.lifespan:Lifespan")
HTTP_PROTOCOLS: dict[str, str] = {"auto": next(iter(PARSERS.values())), **PARSERS}
WS_PROTOCOLS: dict[str, str | None] = {"none": None, "auto": next(iter(WEBSOCKETS.values())), **WEBSOCKETS}
LOOP_FACTORIES: dict[str, str | None] = {"none": None, "auto": next(iter(LOOPS.values())), **LOOPS}

__all__ = [
    "HTTP_PROTOCOLS",
    "INTERFACES",
    "LIFESPAN",
    "LOGGING_CONFIG",
    "LOG_LEVELS",
    "LOOP_FACTORIES",
    "SSL_PROTOCOL_VERSION",
    "STARTUP_FAILURE",
    "WS_PROTOCOLS",
    "Config",
    "create_ssl_context",
]


def create_ssl_context(
    certfile: str | os.PathLike[str],
    keyfile: str | os.PathLike[str] | None,
    password: str | None,
    ssl_version: int,
    cert_reqs: int,
    ca_certs: str | os.PathLike[str] | None,
    ciphers: str | None,
) -> SSLContext:
    """Make the context of a server that the ``ssl_…`` options of these values describe; uvicorn has this function.

    Raises:
        ConfigError: something cannot be used; the message names the option and what is wrong.
    """
    # For who encrypts, and Python can be built without ssl.
    from addax.net import tls_material

    settings = TlsSettings(
        certfile=os.fspath(certfile),
        keyfile=None if keyfile is None else os.fspath(keyfile),
        password=password,
        version=ssl_version,
        cert_reqs=cert_reqs,
        ca_certs=None if ca_certs is None else os.fspath(ca_certs),
        ciphers=ciphers,
    )
    return tls_material.load(settings).context
