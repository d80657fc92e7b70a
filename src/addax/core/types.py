"""The ASGI types and the few structural types that the floors share.

Implements the names of the ASGI specification 3.0 and of its HTTP message format 2.5. Everything here is erased at
run time: the hot path passes plain dicts, lists, bytes and tuples.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

#: What ASGI calls a scope: made by the server, one for each request, changed freely by the application.
Scope: TypeAlias = MutableMapping[str, Any]
#: One event in either direction: a mapping with at least the key ``type``.
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
#: ASGI 3: one coroutine function of three arguments.
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Field lines in the order of the wire; names lower-cased, values without surrounding white space.
Headers: TypeAlias = list[tuple[bytes, bytes]]

#: ``(host, port)`` as ASGI wants it in ``client`` and ``server``; a Unix socket's server is ``(path, None)``.
Address: TypeAlias = tuple[str, int] | tuple[str, None]
