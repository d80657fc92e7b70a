"""The error tree. The class says whose fault it was, and so what happens next.

========================  =================  ==========================================================
class                     whose fault        what the server does
========================  =================  ==========================================================
RemoteProtocolError       the peer           answers with ``status``, closes; logs at info at the most
LocalProtocolError        the application    raised into the application; logged at error
ClientDisconnected        nobody             raised from ``send``; quiet when the application lets it pass
ConfigError               who started addax  one line with the option's name, exit code 2
StartupError              who started addax  one line with the reason, exit code 3
========================  =================  ==========================================================

Anything else that leaves addax is a bug of addax.
"""

from __future__ import annotations


class AddaxError(Exception):
    """Root of everything that addax raises on purpose."""


class RemoteProtocolError(AddaxError):
    """The peer sent bytes that HTTP does not allow, or more than a limit allows.

    Args:
        reason: fixed text for the log and the answer's body; never holds bytes that the peer sent.
        status: the response status that tells the peer, 4xx or 5xx.
        detail: for the log only, behind the reason; what the peer sent stands in it escaped and is cut short.
    """

    def __init__(self, reason: str, status: int = 400, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.detail = detail


class LocalProtocolError(AddaxError, RuntimeError):
    """The application broke ASGI or asked for a response that HTTP does not allow.

    It is a ``RuntimeError`` too, because that is what applications catch today.
    """


class ClientDisconnected(AddaxError, OSError):
    """``send`` was called after the client had gone (ASGI HTTP 2.4: ``send`` raises ``OSError``)."""


class ConfigError(AddaxError, ValueError):
    """An option has a value that cannot be used.

    Args:
        option: the option's name as the user wrote it or would write it, for example ``--port``.
        reason: what is wrong and what to do, one line.
    """

    exit_code = 2

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"{option}: {reason}")
        self.option = option
        self.reason = reason


class StartupError(AddaxError):
    """The server could not start: no such application, no such address, a failed lifespan startup."""

    exit_code = 3


class AppLoadError(StartupError):
    """The application could not be found, imported or built."""
