"""The parser that the others are held against: plain Python, patterns of the grammar, nothing remembered.

Where addax is compiled, ``grammar``, ``chunked`` and ``reader`` are loaded once more from their ``.py``, beside the
modules that everybody else uses. So a mistake of the compiler, of the types in a ``.pxd``, or of the native parser is a
difference that a test can see.
"""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import addax.http1

_NAMES = ("grammar", "chunked", "reader")


def _load_plain() -> dict[str, ModuleType]:
    """The modules by their names, each knowing the plain ones."""
    names = {name: f"addax.http1.{name}" for name in _NAMES}
    others = {full: sys.modules.pop(full) for full in names.values() if full in sys.modules}
    directory = Path(addax.http1.__file__ or "").parent
    plain = {}
    try:
        for name, full in names.items():
            path = str(directory / f"{name}.py")
            spec = spec_from_file_location(full, path, loader=SourceFileLoader(full, path))
            assert spec is not None
            assert spec.loader is not None
            plain[name] = sys.modules[full] = module_from_spec(spec)
            spec.loader.exec_module(plain[name])
    finally:
        for full in names.values():
            sys.modules.pop(full, None)
        sys.modules.update(others)
    return plain


_plain = _load_plain()
_Base: Any = _plain["reader"].StrictParser
_cut_fields: Any = _plain["grammar"].cut_fields


class PlainParser(_Base):
    """Fills ``http1.parser.Parser`` with the grammar alone."""

    __slots__ = ()

    def cut(self, head: bytes) -> list[tuple[bytes, bytes]]:
        fields: list[tuple[bytes, bytes]] = _cut_fields(head)
        return fields

    def feed(self, data: bytes) -> None:
        self._last = None
        super().feed(data)
