"""Runs the hook ``host_startup`` once for a server, before its first worker: ``python -m addax.server.host_startup
PLACE``.

A process of its own, so that neither the supervisor nor a worker keeps what the hook has imported or opened.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence

from addax.config.config import Config
from addax.core.errors import ConfigError, StartupError
from addax.core.link import Link
from addax.core.place import Place
from addax.server.boot import read_boot
from addax.server.hooking import WorkerHooks
from addax.server.worker import fail


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the hook.

    Raises:
        SystemExit: always; 0 if it went well.
    """
    place = Place.parse((sys.argv[1:] if arguments is None else arguments)[0])
    link = Link(socket.socket(fileno=place.link_fd))
    try:
        boot = read_boot(place.boot_fd)
        config = Config(boot.app, **boot.options)
        if config.hooks is not None:
            WorkerHooks(os.fspath(config.hooks), boot.app, place.number, place.generation).host_startup()
    except (ConfigError, StartupError) as error:
        sys.exit(fail(link, error))
    sys.exit(0)


if __name__ == "__main__":
    main()
