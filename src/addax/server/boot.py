"""What all processes of one supervisor begin with: the options, and where modules are found.

Made once by who starts the server (``addax._run``), carried as a file by ``supervise``, read by ``server.worker`` and
``server.forking``.
"""

from __future__ import annotations

import os
import pickle
import runpy
import sys
import types
from dataclasses import dataclass
from typing import Any

from addax.core.errors import ConfigError, StartupError

#: What ``multiprocessing`` calls the main module of a program in the processes that the program starts: who guards
#: the start of a server with ``if __name__ == "__main__"`` is safe.
_MAIN_NAME = "__mp_main__"


@dataclass(frozen=True)
class Boot:
    """The beginning of a process.

    Attributes:
        app: where the application is.
        options: of ``Config``, all but the application.
        argv: the command line of who started the server; applications may look at it.
        server_class: makes the server of a Config; None: ``server.Server``.
    """

    app: str
    options: dict[str, Any]
    argv: list[str]
    server_class: type | None = None

    def dump(self) -> bytes:
        """Make bytes of it.

        Raises:
            ConfigError: the value of an option cannot be passed to another process.
        """
        for name, value in self.options.items():
            try:
                pickle.dumps(value)
            except Exception as error:
                raise ConfigError(name, f"{value!r} cannot be passed to other processes: {error}") from error
        data = pickle.dumps(self)
        # Only who needs it pays for it: the main module is run again in each process.
        main_path = _main_path() if b"__main__" in data else None
        return pickle.dumps((sys.path, main_path, data))


def _main_path() -> str | None:
    path = getattr(sys.modules["__main__"], "__file__", None)
    return os.path.abspath(path) if path is not None else None


def read_boot(fd: int) -> Boot:
    """Read what ``Boot.dump`` has made; several processes may read the file at once.

    The module search path is taken first, for what follows may be found only there.

    Raises:
        StartupError: the main module, which is needed, cannot be run again.
    """
    size = os.fstat(fd).st_size
    data = b""
    while len(data) < size:
        data += os.pread(fd, size - len(data), len(data))
    sys_path, main_path, rest = pickle.loads(data)
    sys.path[:] = sys_path
    if main_path is not None:
        _run_main(main_path)
    boot = pickle.loads(rest)
    assert isinstance(boot, Boot)
    sys.argv[:] = boot.argv
    return boot


def _run_main(path: str) -> None:
    module = types.ModuleType(_MAIN_NAME)
    try:
        module.__dict__.update(runpy.run_path(path, run_name=_MAIN_NAME))
    except (Exception, SystemExit) as error:
        raise StartupError(f"cannot run the main module {path!r} in a worker process: {error!r}") from error
    sys.modules["__main__"] = sys.modules[_MAIN_NAME] = module
