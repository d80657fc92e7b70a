"""The user's functions that are called when a process starts, serves and ends: ``--hooks``.

Called by ``server.hooking``, which knows when. A module of hooks is ordinary Python and may have any of these::

    def host_startup(info): ...   # once for each start of the server, before the first worker
    def worker_start(info): ...   # in the worker, before the application is imported
    def worker_ready(info): ...   # when it accepts connections; may be a coroutine function
    def worker_exit(info): ...    # after the application's shutdown
"""

from __future__ import annotations

import importlib.util
import inspect
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from addax.config.interface import is_coroutine_function
from addax.core.errors import ConfigError, StartupError

logger = logging.getLogger("addax.error")

#: All hooks. The first two decide whether there is a start at all; where the others fail, the log says so.
NAMES = ("host_startup", "worker_start", "worker_ready", "worker_exit")
_DECIDING = ("host_startup", "worker_start")
#: The only one with an event loop around it.
_READY = "worker_ready"

_OPTION = "--hooks"
#: How much the name of a function has to be like a hook's to be taken for a mistake (``difflib``).
_LIKENESS = 0.8
#: What modules are called that were named by a path; their own names may be those of other modules.
_PREFIX = "addax_hooks_"


@dataclass(frozen=True)
class HookInfo:
    """What a hook is told.

    Attributes:
        app: where the application is, ``module:attribute``.
        worker: the number of the worker, from 1; 0 where there is none yet.
        generation: how often the worker's place has been filled, from 1.
        pid: of this process.
        addresses: where connections are accepted, ``host:port`` or a path; empty before that is known.
    """

    app: str
    worker: int
    generation: int
    pid: int
    addresses: tuple[str, ...]


class Hooks:
    """The hooks of a module.

    Args:
        functions: what there is, by name.
        target: where they come from, for messages.
    """

    def __init__(self, functions: Mapping[str, Callable[[HookInfo], Any]], target: str) -> None:
        self._functions = functions
        self._target = target

    def call(self, name: str, info: HookInfo) -> Awaitable[None] | None:
        """Call a hook, if the module has it.

        Args:
            name: one of ``NAMES``.
            info: what it is told.

        Returns:
            What is left to wait for, of a ``worker_ready`` that is a coroutine function; it logs what goes wrong. Else
            None.

        Raises:
            StartupError: ``host_startup`` or ``worker_start`` failed; the message ends with the traceback of the
                user's frames. What goes wrong in the others is logged.
        """
        function = self._functions.get(name)
        if function is None:
            return None
        try:
            result = function(info)
            if not inspect.isawaitable(result):
                return None
            if name == _READY:
                return self._wait(name, result)
            _forget(result)
            raise TypeError(f"{name} returned {type(result).__name__}, which nothing can wait for here")
        except (Exception, SystemExit) as error:
            self._failed(name, error)
        return None

    async def _wait(self, name: str, awaitable: Awaitable[object]) -> None:
        try:
            await awaitable
        except (Exception, SystemExit) as error:
            self._failed(name, error)

    def _failed(self, name: str, error: BaseException) -> None:
        failed = f'The hook {name} of "{self._target}" failed.'
        if name in _DECIDING:
            from addax.config.hints import trimmed_traceback

            raise StartupError(f"{failed}\n\n{trimmed_traceback(error)}") from error
        logger.error("%s", failed, exc_info=error)


def _forget(awaitable: object) -> None:
    # It would warn that nobody has waited for it, beside the error that says so already.
    if inspect.iscoroutine(awaitable):
        awaitable.close()


def load_hooks(target: str) -> Hooks:
    """Import a module of hooks and check what it has.

    Args:
        target: the name of a module, or a path that ends in ``.py``.

    Raises:
        ConfigError: a hook that cannot be called, or a function whose name is nearly a hook's.
        StartupError: there is no such module, or it failed while it was imported; then the message ends with the
            traceback of the user's frames.
    """
    module = _import(target)
    _check_names(module, target)
    functions = {}
    for name in NAMES:
        function = getattr(module, name, None)
        if function is not None:
            _check(name, function, target)
            functions[name] = function
    return Hooks(functions, target)


# --- The module -------------------------------------------------------------------------------------------------------


def _import(target: str) -> ModuleType:
    from addax.config import hints

    try:
        return _import_file(target) if target.endswith(".py") else _import_name(target)
    except StartupError:
        raise
    except (Exception, SystemExit) as error:
        message = f'Error loading hooks. Importing "{target}" failed.\n\n{hints.trimmed_traceback(error)}'
        raise StartupError(message) from error


def _import_name(name: str) -> ModuleType:
    from addax.config import hints

    not_found = f'Error loading hooks. Could not import module "{name}".'
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        is_named = error.name is not None and (name == error.name or name.startswith(error.name + "."))
        if not is_named or hints.has_user_frames(error):
            raise
        raise StartupError(f"{not_found}{_name_hint(name)}") from error
    except (TypeError, ValueError) as error:
        # A relative name, or an empty one; what the module itself raises is not ours to rename.
        if hints.has_user_frames(error):
            raise
        raise StartupError(f"{not_found} That is not the name of a module.") from error


def _name_hint(name: str) -> str:
    from addax.config import hints

    if os.path.isfile(f"{name}.py"):
        return f" There is a file: write {name}.py."
    return hints.module_hint(name)


def _import_file(path: str) -> ModuleType:
    path = os.path.abspath(path)
    if not os.path.isfile(path):
        raise StartupError(f"Error loading hooks. There is no file {path}.")
    name = _PREFIX + os.path.basename(path)[: -len(".py")]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look for the module of a class there.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


# --- What it has ------------------------------------------------------------------------------------------------------


def _check_names(module: ModuleType, target: str) -> None:
    import difflib

    for name, thing in vars(module).items():
        # What is only imported there has its name from somewhere else.
        is_own = inspect.isfunction(thing) and thing.__module__ == module.__name__
        if name in NAMES or name.startswith("_") or not is_own:
            continue
        nearest = difflib.get_close_matches(name, NAMES, n=1, cutoff=_LIKENESS)
        if nearest:
            raise ConfigError(
                _OPTION,
                f'"{target}" has a function {name}, which is not a hook. Did you mean {nearest[0]}? '
                "If not, let its name begin with an underscore.",
            )


def _check(name: str, function: object, target: str) -> None:
    if not callable(function):
        raise ConfigError(_OPTION, f'{name} of "{target}" is of type {type(function).__name__}, which cannot be called')
    if is_coroutine_function(function) and name != _READY:
        raise ConfigError(
            _OPTION, f'{name} of "{target}" is a coroutine function, which only {_READY} may be: write it with def'
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(_OPTION, f'{name} of "{target}" is a generator, so a call would do nothing')
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        raise ConfigError(_OPTION, f'{name} of "{target}" has to take one argument, info: {error}') from error
    except ValueError:
        pass  # It does not say what it takes.
