"""The codec that the compiled one is held against: the same files, loaded once more as plain Python."""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import addax.websocket

_NAMES = ("mask", "assembly", "frames")
_COMPILED_ONLY = "masking"


def _load_plain() -> dict[str, ModuleType]:
    """The modules by their names, each knowing the plain ones, and none of them what exists as machine code only."""
    package = addax.websocket
    hidden = (*_NAMES, _COMPILED_ONLY)
    others = {name: sys.modules.pop(f"addax.websocket.{name}", None) for name in hidden}
    attributes = {name: package.__dict__.pop(name) for name in hidden if name in package.__dict__}
    directory = Path(package.__file__ or "").parent
    plain = {}
    try:
        # Whoever imports this gets an ImportError.
        sys.modules[f"addax.websocket.{_COMPILED_ONLY}"] = None  # type: ignore[assignment]
        for name in _NAMES:
            full, path = f"addax.websocket.{name}", str(directory / f"{name}.py")
            spec = spec_from_file_location(full, path, loader=SourceFileLoader(full, path))
            assert spec is not None
            assert spec.loader is not None
            plain[name] = sys.modules[full] = module_from_spec(spec)
            spec.loader.exec_module(plain[name])
    finally:
        for name, module in others.items():
            sys.modules.pop(f"addax.websocket.{name}", None)
            if module is not None:
                sys.modules[f"addax.websocket.{name}"] = module
        for name in hidden:
            package.__dict__.pop(name, None)
        package.__dict__.update(attributes)
    return plain


_plain = _load_plain()
PlainCodec: Any = _plain["frames"].FrameCodec
assert _plain["mask"].unmask is _plain["mask"]._unmask
