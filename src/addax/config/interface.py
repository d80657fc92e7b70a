"""Tells how an application wants to be called: ASGI 3, ASGI 2, or not by an ASGI server at all.

Called by ``config.config.Config.load`` for ``--interface auto``.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from typing import Any

from addax.core.errors import AppLoadError

if sys.version_info >= (3, 12):
    _is_marked_coroutine_function = inspect.iscoroutinefunction
else:
    # Knows the mark that asgiref and others put on functions that return an awaitable.
    _is_marked_coroutine_function = asyncio.iscoroutinefunction


def is_coroutine_function(app: Any) -> bool:
    """Whether calling an object gives a coroutine: an async function, a partial of one, or an object called so."""
    if inspect.isclass(app):
        return False
    return bool(_is_marked_coroutine_function(app) or _is_marked_coroutine_function(getattr(app, "__call__", None)))  # noqa: B004 - the method itself is looked at


def detect_interface(app: Callable[..., Any]) -> str:
    """Find out the interface of an application.

    A class is ASGI 3 if its instances can be awaited, else ASGI 2. Everything else is ASGI 3 if it is a coroutine
    function. What is left is told by the number of arguments that must be given by position: one is ASGI 2, three
    (a plain function that passes a coroutine on) is ASGI 3, two is WSGI.

    Returns:
        ``asgi3`` or ``asgi2``.

    Raises:
        AppLoadError: it looks like a WSGI application. That is not guessed at, because it changes much of what the
            server offers.
    """
    if inspect.isclass(app):
        return "asgi3" if hasattr(app, "__await__") else "asgi2"
    if is_coroutine_function(app):
        return "asgi3"
    count = positional_count(app)
    if count == 2:
        raise AppLoadError(
            "Error loading ASGI app. The application takes two arguments and is not a coroutine function, so it looks "
            "like a WSGI application. If it is one, use --interface wsgi."
        )
    return "asgi2" if count == 1 else "asgi3"


def positional_count(app: Callable[..., Any]) -> int | None:
    """How many arguments must be given by position; None if that cannot be told."""
    try:
        parameters = list(inspect.signature(app).parameters.values())
    except (ValueError, TypeError):
        return None
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in by_position and parameter.default is parameter.empty for parameter in parameters)
