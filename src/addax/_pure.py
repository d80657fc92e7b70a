"""Which of the two variants runs: modules compiled to machine code, or the same files as plain Python.

A compiled module lies beside its ``.py``, and Python prefers it. With ``ADDAX_PURE=1`` in the environment,
``addax/__init__.py`` loads this module and puts a finder in front that takes the ``.py``. Without the variable nobody
imports this until ``addax --version`` or ``addax.is_compiled`` asks.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import MetaPathFinder
else:
    # The base class is for the type checker: importing it takes longer than the rest of this module.
    MetaPathFinder = object

#: Any value but an empty one and 0 forces plain Python; read where addax is built and where it is imported.
PURE_VARIABLE = "ADDAX_PURE"

#: The build compiles everything that it can or nothing, so one module answers for all: the heart of the hot path.
_WITNESS = "addax.http1.connection"
_PREFIX = "addax."


def is_compiled() -> bool:
    """Whether the hot path of this addax runs as machine code.

    False after an install without a C compiler, and where ``ADDAX_PURE=1`` was set when addax was first imported.
    """
    spec = find_spec(_WITNESS)
    return spec is not None and isinstance(spec.loader, ExtensionFileLoader)


def force_pure() -> None:
    """From now on load the modules of this package from their ``.py``. Those that are loaded already stay."""
    # Not by isinstance: who imports the package afresh has a second class.
    if not any(type(finder).__module__ == __name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, PureFinder())


class PureFinder(MetaPathFinder):
    """Finds addax's modules like Python itself, but without seeing any extension modules."""

    def __init__(self) -> None:
        self._finders: dict[str, FileFinder] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module of addax. None for modules of others, and where addax is not in plain files (a zip archive).

        Raises:
            ModuleNotFoundError: the module exists as machine code only, for example the native parser.
        """
        if path is None or not fullname.startswith(_PREFIX):
            return None
        for directory in path:
            spec = self._look_into(directory, fullname)
            if spec is not None:
                return spec
        compiled = PathFinder.find_spec(fullname, path, target)
        if compiled is not None and isinstance(compiled.loader, ExtensionFileLoader):
            raise ModuleNotFoundError(
                f"No module named {fullname!r} in plain Python, which {PURE_VARIABLE} asks for", name=fullname
            )
        return compiled

    def _look_into(self, directory: str, fullname: str) -> ModuleSpec | None:
        finder = self._finders.get(directory)
        if finder is None:
            finder = FileFinder(
                directory, (SourceFileLoader, SOURCE_SUFFIXES), (SourcelessFileLoader, BYTECODE_SUFFIXES)
            )
            self._finders[directory] = finder
        spec = finder.find_spec(fullname)
        # Without a loader it is a directory without __init__.py, which Python's own finder puts together.
        return spec if spec is not None and spec.loader is not None else None

    def invalidate_caches(self) -> None:
        """Forget what was in the directories: ``importlib.invalidate_caches`` calls this."""
        self._finders.clear()
