"""Finds, imports and builds the application, and says what helps when that fails.

Called by ``config.config.Config.load_app`` and, for a command line without an application, by ``addax.cli``. How an
application is to be called (ASGI 3, ASGI 2, WSGI) is found out in ``interface``; the hints are made in ``hints``.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import logging
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from addax.config.interface import is_coroutine_function
from addax.core.errors import AppLoadError

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger("addax.error")

FILES = ("main.py", "app.py", "asgi.py", "api.py")
APP_NAMES = ("app", "application")
FACTORY_NAMES = ("create_app",)


class ImportFromStringError(AppLoadError):
    """An import string has the wrong form, or what it names does not exist."""


class FoundApp(NamedTuple):
    """What ``find_app`` took."""

    #: ``module:attribute``.
    target: str
    #: Whether it is a function that returns the application.
    is_factory: bool


def import_from_string(import_str: Any) -> Any:
    """Import what ``module:attribute[.attribute…]`` names; anything but text is returned as it is.

    Raises:
        ImportFromStringError: wrong form, no such module, or no such attribute.
        Exception: whatever the module raised while it was imported.
    """
    if not isinstance(import_str, str):
        return import_str
    module_name, _, attributes = import_str.partition(":")
    if not module_name or not attributes:
        raise ImportFromStringError(
            f'Import string "{import_str}" must be in format "<module>:<attribute>".'
            + (f' For example "{module_name.removesuffix(".py")}:app".' if module_name else "")
        )
    module = _import_module(module_name)
    found = module
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            hint = _hints().attribute_hint(found, attribute)
            message = f'Attribute "{attributes}" not found in module "{module_name}".{hint}'
            raise ImportFromStringError(message) from error
    return found


def _import_module(name: str) -> Any:
    # "main.py:app" would import, and so run, main before it fails; a path cannot be a module at all.
    if name.endswith(".py") or "/" in name or "\\" in name:
        raise ImportFromStringError(f'Could not import module "{name}".{_hints().module_hint(name)}')
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        is_named = error.name is not None and (name == error.name or name.startswith(error.name + "."))
        if not is_named or _hints().has_user_frames(error):
            raise
        raise ImportFromStringError(f'Could not import module "{name}".{_hints().module_hint(name)}') from error
    except (TypeError, ValueError) as error:
        # A relative name (".main") or an empty part ("main..app"); a user's own error is not ours to rename.
        if _hints().has_user_frames(error):
            raise
        raise ImportFromStringError(f'Could not import module "{name}". That is not the name of a module.') from error


def load_app(app: Any, factory: bool = False) -> Any:
    """Import the application if it is named by a string, and call it if it is a factory.

    Args:
        app: ``module:attribute``, or the object.
        factory: whether the object is a factory.

    Returns:
        The application as the user wrote it, in whatever interface.

    Raises:
        AppLoadError: see ``import_app`` and ``build_app``.
    """
    return build_app(import_app(app), app, factory)


def import_app(app: Any) -> Any:
    """Import the application if it is named by a string.

    Raises:
        AppLoadError: that failed. The message is complete; where the user's own code failed it ends with the traceback
            of the user's frames.
    """
    try:
        return import_from_string(app)
    except ImportFromStringError as error:
        raise AppLoadError(f"Error loading ASGI app. {error}") from error
    except (Exception, SystemExit) as error:
        raise AppLoadError(
            f'Error loading ASGI app. Importing "{app}" failed.\n\n{_hints().trimmed_traceback(error)}'
        ) from error


def build_app(loaded: Any, app: Any, factory: bool = False) -> Any:
    """Call what was imported if it is a factory.

    A function without arguments that was not declared as a factory is called too, with a warning, as uvicorn does.

    Args:
        loaded: what ``import_app`` returned.
        app: what it was imported from, for messages.
        factory: whether it is a factory.

    Raises:
        AppLoadError: it cannot be called, or the factory failed or returned something that cannot be called.
    """
    name = f'"{app}"' if isinstance(app, str) else "The application"
    if not callable(loaded):
        raise AppLoadError(
            f"Error loading ASGI app. {name} is of type {type(loaded).__name__}, which cannot be called."
        )
    if factory:
        return _call_factory(loaded, name)
    return _call_hidden_factory(loaded, name)


def _call_factory(factory: Callable[..., Any], name: str) -> Any:
    if is_coroutine_function(factory):
        raise AppLoadError(
            f"Error loading ASGI app factory: {name} is a coroutine function; a factory must be a plain one."
        )
    try:
        app = factory()
    except (Exception, SystemExit) as error:
        raise AppLoadError(_factory_failure(error)) from error
    if not callable(app):
        raise AppLoadError(f"Error loading ASGI app factory: {name} returned {app!r}, which is not an application.")
    return app


def _factory_failure(error: BaseException) -> str:
    message = f"Error loading ASGI app factory: {error}"
    return f"{message}\n\n{_hints().trimmed_traceback(error)}" if _hints().has_user_frames(error) else message


def _call_hidden_factory(app: Callable[..., Any], name: str) -> Any:
    """Call what can be called without arguments: it cannot be an application, but may well make one."""
    arguments = _arguments(app)
    if arguments is None or arguments[0] or is_coroutine_function(app):
        return app
    try:
        made = app()
    except TypeError as error:
        if arguments[1]:
            # A wrapper that passes all arguments on to an application: it was the application that missed them.
            return app
        raise AppLoadError(_factory_failure(error)) from error
    except (Exception, SystemExit) as error:
        raise AppLoadError(_factory_failure(error)) from error
    if not callable(made):
        raise AppLoadError(
            f"Error loading ASGI app. {name} takes no arguments and returned {made!r}, not an application."
        )
    logger.warning("ASGI app factory detected. Using it, but please consider setting the --factory flag explicitly.")
    return made


def _arguments(app: Callable[..., Any]) -> tuple[bool, bool] | None:
    """Whether an object needs arguments, and whether it takes any number of them; None if that cannot be told."""
    try:
        parameters = inspect.signature(app).parameters.values()
    except (ValueError, TypeError):
        return None
    is_open = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    needs = any(
        parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        for parameter in parameters
    )
    return needs, is_open


def _hints() -> Any:
    # For who made a mistake, and not at each start.
    from addax.config import hints

    return hints


def find_app(directory: str | os.PathLike[str]) -> FoundApp:
    """Look for an application in the usual files: first one named app or application, then a factory create_app.

    The files are read, not imported, so that only the one that is served later runs.

    Args:
        directory: where to look, without its subdirectories.

    Raises:
        AppLoadError: there is none, or one of the files is not Python.
    """
    from pathlib import Path

    files = [file for file in (Path(directory) / name for name in FILES) if file.is_file()]
    names = {file: set(_names(_parse(file).body)) for file in files}
    for wanted, is_factory in ((APP_NAMES, False), (FACTORY_NAMES, True)):
        for file in files:
            for name in wanted:
                if name in names[file]:
                    return FoundApp(f"{file.stem}:{name}", is_factory)
    raise AppLoadError(_nothing_found(Path(directory), files))


def _nothing_found(directory: Path, files: list[Path]) -> str:
    there = ", ".join(file.name for file in files)
    return (
        f"No application was named, and none was found: looked for {', '.join(APP_NAMES)} and "
        f"{', '.join(FACTORY_NAMES)} in {', '.join(FILES)} of {directory.resolve()} "
        f"({f'which has {there}, without any of these names' if there else 'which has none of these files'}). "
        "Name it: addax module:attribute"
    )


def _parse(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise AppLoadError(f'Error loading ASGI app. "{file.name}" is not valid Python: {reason}{line}') from error


def _names(body: list[ast.stmt]) -> Iterator[str]:
    """Names that statements bind at the top level of a module, inside ``if``, ``try`` and ``with`` too."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))
        else:
            for field in ("body", "orelse", "finalbody"):
                yield from _names(getattr(node, field, []))
            for handler in getattr(node, "handlers", []):
                yield from _names(handler.body)
