"""Python imports this by itself when it starts, if this directory is on PYTHONPATH: installs the stand-in for uvicorn.

The directory is put there by ``python -m addax.compat``, and every Python process below that command inherits it.
Whatever ``sitecustomize`` would have been imported without it is run afterwards.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec


def _install() -> None:
    try:
        from addax import compat
    except ImportError as error:
        # Another Python, or another virtual environment. Say so: the real uvicorn may serve there, unnoticed.
        sys.stderr.write(f"addax.compat: uvicorn is not replaced in {sys.executable}: {error}\n")
        return
    compat.install()


def _run_next() -> None:
    """Do what this file has kept Python from doing. The directory stays on ``sys.path``: some programs make their
    children's PYTHONPATH of it."""
    here = os.path.dirname(os.path.abspath(__file__))
    spec = PathFinder.find_spec("sitecustomize", [path for path in sys.path if os.path.abspath(path) != here])
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


_install()
_run_next()
