"""The parsers that tests run over."""

from __future__ import annotations

from importlib.util import find_spec

from addax.core.registry import PARSERS


def is_compiled() -> bool:
    """Whether the package runs as machine code; the native parser exists then, and only then."""
    spec = find_spec("addax.http1.reader")
    return spec is not None and spec.origin is not None and not spec.origin.endswith(".py")


#: All of the table. In plain Python the native parser is left out, and ``test_core_small`` has a skipped test for it.
USABLE_PARSERS: tuple[str, ...] = tuple(name for name in PARSERS if name != "native" or is_compiled())
