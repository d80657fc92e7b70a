"""What Gunicorn's settings mean for addax: they become options of ``addax.Config``.

Called by ``workers``, in a worker that Gunicorn has just forked. Nothing of Gunicorn is imported: its configuration is
handed in, of whatever version it is.
"""

from __future__ import annotations

import sys
from typing import Any

from addax._version import __version__
from addax.config.options import BY_NAME
from addax.core.errors import ConfigError

#: Gunicorn's setting, and the option that takes its value as it is. The second half came with Gunicorn's own ``asgi``
#: worker; earlier versions do not know it.
_SAME = {
    "keepalive": "timeout_keep_alive",
    "backlog": "backlog",
    "asgi_lifespan": "lifespan",
    "root_path": "root_path",
}
#: What else an option was made of, so that messages can name what the user has written.
_MADE_OF = {option: setting for setting, option in _SAME.items()} | {
    "timeout_graceful_shutdown": "graceful_timeout",
    "forwarded_allow_ips": "forwarded_allow_ips",
    "limit_max_requests": "max_requests",
    "limit_concurrency": "worker_connections",
    "limit_request_line": "limit_request_line",
    "limit_header_count": "limit_request_fields",
    "limit_head_size": "limit_request_field_size",
    "ws_max_size": "websocket_max_message_size",
    "ssl_certfile": "certfile",
    "ssl_keyfile": "keyfile",
    "ssl_ca_certs": "ca_certs",
    "ssl_cert_reqs": "cert_reqs",
    "ssl_ciphers": "ciphers",
    "ssl_context_factory": "ssl_context",
}
#: Settings that ask for what addax does not have, and the values with which they do not.
_NOT_THERE: dict[str, tuple[object, ...]] = {
    "proxy_protocol": (False, "off"),
    "protocol": ("http",),
    "http_protocols": (["h1"], "h1"),
    "http2_cleartext": ("off",),
}

#: What Gunicorn takes for "no bound" in ``limit_request_fields``.
_FIELDS_MAX_COUNT = 32768
#: How long before Gunicorn kills a worker that does not end requests are cancelled, in seconds at the most: the
#: application's shutdown is to have its turn.
_LEAD_S = 1.0
_CRLF_BYTES = 2


def read_settings(cfg: Any, max_requests: int) -> dict[str, Any]:
    """Translate the settings.

    Args:
        cfg: Gunicorn's configuration.
        max_requests: after how many requests to end, the jitter included; ``sys.maxsize``: never.

    Returns:
        Arguments for ``addax.Config``, but for the application.

    Raises:
        ConfigError: a setting asks for what addax does not have.
    """
    for setting, harmless in _NOT_THERE.items():
        value = getattr(cfg, setting, harmless[0])
        if value not in harmless:
            raise ConfigError(setting, f"{value!r} is not available in addax {__version__} yet")
    options: dict[str, Any] = {
        # Logging is Gunicorn's, and so are the processes; $WEB_CONCURRENCY has been read by it too.
        "log_config": None,
        "workers": 1,
        "timeout_graceful_shutdown": graceful_timeout_s(cfg.graceful_timeout),
        "forwarded_allow_ips": _trusted_peers(cfg.forwarded_allow_ips),
        **_bounds(cfg),
        **_tls(cfg),
    }
    for setting, option in _SAME.items():
        value = getattr(cfg, setting, None)
        if value is not None:
            options[option] = value
    if max_requests < sys.maxsize:
        options["limit_max_requests"] = max_requests
    connections = cfg.settings["worker_connections"]
    # The default is meant for other kinds of workers, and nobody has asked for it.
    if connections.get() not in (0, connections.default):
        options["limit_concurrency"] = connections.get()
    message_bytes = getattr(cfg, "websocket_max_message_size", None)
    if message_bytes is not None:
        options["ws_max_size"] = message_bytes or sys.maxsize
    return options


def merge(options: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """What a worker class says itself (``CONFIG_KWARGS``) goes before what Gunicorn's settings say.

    Raises:
        ConfigError: there is no such option.
    """
    unknown = sorted(own.keys() - BY_NAME.keys())
    if unknown:
        raise ConfigError("CONFIG_KWARGS", f"addax has no option {unknown[0]!r}")
    if "h11_max_incomplete_event_size" in own:
        # Another name of it.
        options = {name: value for name, value in options.items() if name != "limit_head_size"}
    return {**options, **own}


def explain(error: ConfigError, own: dict[str, Any]) -> str:
    """The error in one line, with Gunicorn's name for what was wrong unless ``CONFIG_KWARGS`` has it from there."""
    if error.option in own:
        return f"CONFIG_KWARGS: {error}"
    return f"{_MADE_OF.get(error.option, error.option)}: {error.reason}"


def graceful_timeout_s(timeout_s: float) -> float:
    """How long requests may go on after the signal to stop, so that all is over when Gunicorn kills: a little less."""
    return timeout_s - min(_LEAD_S, timeout_s / 5)


def head_max_bytes(line_bytes: int, field_count: int, field_bytes: int) -> int:
    """The largest request head.

    Gunicorn bounds each field, addax the head as a whole. So a head is never larger than Gunicorn's bounds together
    allow, and there is room for a line and a field of the largest size; apart from that addax's own bound holds.
    """
    ours: int = BY_NAME["limit_head_size"].default
    line = line_bytes + _CRLF_BYTES
    field = (field_bytes or ours) + _CRLF_BYTES
    return min(line + field_count * field + _CRLF_BYTES, max(ours, line + field + _CRLF_BYTES))


def _bounds(cfg: Any) -> dict[str, int]:
    # 0 is "no bound" in each of them.
    line_bytes = cfg.limit_request_line or BY_NAME["limit_head_size"].default
    field_count = cfg.limit_request_fields or _FIELDS_MAX_COUNT
    return {
        "limit_request_line": line_bytes,
        "limit_header_count": field_count,
        "limit_head_size": head_max_bytes(line_bytes, field_count, cfg.limit_request_field_size),
    }


def _trusted_peers(addresses: list[Any]) -> list[str]:
    trusted = [str(address) for address in addresses]
    # Gunicorn trusts whoever reaches it through a Unix socket. With nobody at all in the list, nobody is meant.
    return [*trusted, "unix:"] if trusted else []


def _tls(cfg: Any) -> dict[str, Any]:
    if not cfg.is_ssl:
        return {}
    options = {
        "ssl_certfile": cfg.certfile,
        "ssl_keyfile": cfg.keyfile,
        "ssl_ca_certs": cfg.ca_certs,
        "ssl_cert_reqs": int(cfg.cert_reqs),
        "ssl_ciphers": cfg.ciphers,
    }
    hook = cfg.settings["ssl_context"]
    if hook.get() is not hook.default:
        options["ssl_context_factory"] = lambda _config, make_default: cfg.ssl_context(cfg, make_default)
    return options
