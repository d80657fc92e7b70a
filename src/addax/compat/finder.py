"""Finds addax's modules under uvicorn's names: the import system asks here first while the stand-in is installed.

A submodule is not a copy: ``uvicorn.config`` *is* ``addax.config``, so that classes have one identity and patches work.
Only ``uvicorn`` itself is a module of its own, because its ``__version__`` is another and its ``main`` is both a
command and a module.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from addax.compat import loggers

if TYPE_CHECKING:
    from importlib.abc import Loader, MetaPathFinder
    from importlib.metadata import Distribution, DistributionFinder
else:
    # The base classes are for the type checker: importing them costs as much as all the rest of this package.
    Loader = MetaPathFinder = object

#: The version of uvicorn whose interface addax has, and what the stand-in says it is. Plain numbers, because programs
#: take it apart; ``addax.__version__`` tells the other one.
UVICORN_VERSION = "0.54.0"

_PUBLIC = ("Config", "Server", "main", "run")
_SAME_NAMES = (
    "__main__",
    "config",
    "importer",
    "lifespan",
    "lifespan.off",
    "lifespan.on",
    "logging",
    "loops",
    "loops.asyncio",
    "loops.auto",
    "loops.uvloop",
    "middleware",
    "middleware.asgi2",
    "middleware.message_logger",
    "middleware.proxy_headers",
    "middleware.wsgi",
    "protocols",
    "protocols.utils",
    "server",
    "supervisors",
    "supervisors.basereload",
    "supervisors.multiprocess",
    "supervisors.statreload",
    "supervisors.watchfilesreload",
)
#: uvicorn's modules, and which of addax's answers for each.
MODULES = {f"uvicorn.{name}": f"addax.{name}" for name in _SAME_NAMES} | {
    "uvicorn._types": "addax.compat.types",
    "uvicorn.main": "addax.compat.main",
    "uvicorn.workers": "addax.compat.workers",
}


def is_uvicorn(name: str) -> bool:
    """Whether a module's name is ``uvicorn`` or begins with ``uvicorn.``."""
    return name.partition(".")[0] == "uvicorn"


class StandInFinder(MetaPathFinder):
    """To be put in front of ``sys.meta_path``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, original: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for uvicorn and everything below it.

        Raises:
            ModuleNotFoundError: addax has nothing for this submodule. Not None, for then the import system would say
                only that there is no such module, as if that were uvicorn's fault.
        """
        if not is_uvicorn(fullname):
            return None
        if fullname == "uvicorn":
            return _package_spec()
        if fullname not in MODULES:
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: addax stands in for uvicorn here, and has nothing for this module",
                name=fullname,
            )
        target = MODULES[fullname]
        found = find_spec(target)
        return ModuleSpec(fullname, _AliasLoader(target), origin=found.origin if found else None)

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterable[Distribution]:
        """Answer ``importlib.metadata``, which asks every finder that has this method."""
        from addax.compat.distribution import find_distributions

        return find_distributions(context)


def _package_spec() -> ModuleSpec:
    origin = os.path.join(os.path.dirname(os.path.dirname(__file__)), "__init__.py")
    spec = ModuleSpec("uvicorn", _PackageLoader(), origin=origin, is_package=True)
    # So that the module has a __file__, by which people look up what they have really imported.
    spec.has_location = True
    return spec


class _PackageLoader(Loader):
    """Makes the module ``uvicorn``."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Package(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Load ``uvicorn.main`` too, as uvicorn does: loaded later it would cover the command of that name."""
        sys.modules["uvicorn.main"] = import_module(MODULES["uvicorn.main"])


class _Package(ModuleType):
    """addax under the name of uvicorn. What is set here, by a test for example, addax itself does not see."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "addax, standing in for uvicorn (addax.compat).")
        self.__version__ = UVICORN_VERSION
        self.__all__ = list(_PUBLIC)

    def __getattr__(self, name: str) -> Any:
        if name in _PUBLIC:
            return getattr(import_module("addax"), name)
        if f"uvicorn.{name}" in MODULES:
            return import_module(f"uvicorn.{name}")
        raise AttributeError(f"module 'uvicorn' (addax stands in for it) has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        children = {name.split(".")[1] for name in MODULES}
        return sorted({*self.__dict__, *_PUBLIC, *children})


class _AliasLoader(Loader):
    """Loads one of addax's modules in place of one of uvicorn's."""

    def __init__(self, target: str) -> None:
        self._target = target

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        # The import system takes what stands in sys.modules afterwards, and so leaves the __spec__ of addax's own
        # module alone, which it would set on one that ``create_module`` returns.
        name = module.__name__
        sys.modules[name] = import_module(self._target)
        if name == "uvicorn.config":
            loggers.rename_logging_config()

    def get_code(self, fullname: str) -> CodeType | None:
        """For ``python -m uvicorn``, which runs code and imports nothing."""
        spec = find_spec(self._target)
        code: CodeType | None = spec.loader.get_code(self._target) if spec and spec.loader else None  # type: ignore[attr-defined]  # optional in the protocol, there in every loader of files
        return code
