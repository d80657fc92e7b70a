"""Public names of what keeps other processes serving, as uvicorn has them.

Programs that make their own sockets use them: ``Multiprocess(config, sockets=[…]).run()``,
``ChangeReload(config, target=server.run, sockets=[…]).run()``. The work is done by ``addax.supervise``.
"""

from __future__ import annotations

import inspect
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from addax._run import supervise
from addax.config.config import Config
from addax.core.errors import ConfigError
from addax.server.server import Server

__all__ = ["BaseReload", "ChangeReload", "Multiprocess"]


class _Supervisor:
    """Serves with other processes.

    Args:
        config: what to serve; its application is named by a string.
        target: the method ``run`` of a server, which is made anew in each process with a Config like this one; None:
            of ``Server``.
        sockets: listen on these; None: on what the config says.

    Raises:
        ConfigError: the application or the target cannot be made anew in another process.
    """

    _reloads: ClassVar[bool]
    _option: ClassVar[str]

    def __init__(
        self,
        config: Config,
        target: Callable[..., Any] | None = None,
        sockets: Sequence[socket.socket] | None = None,
    ) -> None:
        if not isinstance(config.app, str):
            raise ConfigError(self._option, "the application has to be an import string, for it is imported anew")
        self.config = config
        self.target = target
        self.sockets = sockets
        self._server_class = self._find_class(target)

    def _find_class(self, target: Callable[..., Any] | None) -> type[Server] | None:
        if target is None:
            return None
        owner = getattr(target, "__self__", None)
        if not (inspect.ismethod(target) and isinstance(owner, Server) and target.__name__ == "run"):
            raise ConfigError(self._option, f"target {target!r} is not the method run of an addax.Server")
        return None if type(owner) is Server else type(owner)

    def run(self) -> None:
        """Serve until a signal.

        Raises:
            StartupError: an address cannot be had.
            SystemExit: with the exit code, if the end was not one that was asked for.
        """
        code = supervise(self.config, self.sockets, self._server_class, self._reloads)
        if code:
            sys.exit(code)


class Multiprocess(_Supervisor):
    """Serve with several processes."""

    _reloads = False
    _option = "workers"


class BaseReload(_Supervisor):
    """Serve with one process, and start it again when files change."""

    _reloads = True
    _option = "reload"


class ChangeReload(BaseReload):
    """The same, with the best means to see changes that is installed."""
