"""Compiles the hot path where a C compiler is at hand; everything else about the package is in pyproject.toml.

A module is compiled when a ``.pxd`` lies beside its ``.py``, or when it is a ``.pyx``. Without a compiler, or with
``ADDAX_PURE=1``, the same files are installed as plain Python: slower, otherwise the same.

    ADDAX_PURE=1        build nothing
    ADDAX_SANITIZE=1    build with AddressSanitizer and UndefinedBehaviorSanitizer, see docs/contributing.md
    ADDAX_REQUIRE=1     a build that fails is an error, and not a pure install
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = Path("src")

DIRECTIVES = {
    "language_level": "3",
    # Plain method objects: calling one costs less, and nobody inspects these.
    "binding": False,
    # Types stand in the .pxd: an annotation is for the type checker, and means no more than in plain Python.
    "annotation_typing": False,
    "embedsignature": False,
    "initializedcheck": False,
}


def compiled_sources() -> list[Path]:
    """The files to compile, the same list on every machine."""
    beside = [pxd.with_suffix(".py") for pxd in SOURCES.rglob("*.pxd")]
    return sorted([*(path for path in beside if path.exists()), *SOURCES.rglob("*.pyx")])


def extensions() -> list[Extension]:
    """One extension for each module, as C. An empty list where Cython is missing or not wanted."""
    if os.environ.get("ADDAX_PURE"):
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        if os.environ.get("ADDAX_REQUIRE"):
            raise
        print("addax: Cython is not installed, so nothing is compiled", file=sys.stderr)
        return []
    flags: list[str] = [] if sys.platform == "win32" else ["-O2", "-fno-strict-overflow", "-Wno-unused-function"]
    link: list[str] = []
    if os.environ.get("ADDAX_SANITIZE"):
        flags = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        link = ["-fsanitize=address,undefined"]
    modules = [
        Extension(
            ".".join(path.relative_to(SOURCES).with_suffix("").parts),
            [path.as_posix()],
            extra_compile_args=flags,
            extra_link_args=link,
        )
        for path in compiled_sources()
    ]
    cythonized: list[Extension] = cythonize(
        modules, include_path=["src"], compiler_directives=DIRECTIVES, build_dir="build/cython", nthreads=0
    )
    return cythonized


class BuildAllOrNothing(build_ext):
    """Modules that are compiled know each other's layout: some compiled and some not would not work."""

    def run(self) -> None:
        """Build, or fall back to plain Python."""
        self.parallel = self.parallel or os.cpu_count()
        try:
            super().run()
        except Exception as error:
            if os.environ.get("ADDAX_REQUIRE"):
                raise
            print(f"addax: installing plain Python, because compiling failed: {error}", file=sys.stderr)
            self._forget()

    def _forget(self) -> None:
        for extension in self.extensions:
            Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
        self.extensions = []
        self.distribution.ext_modules = []


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildAllOrNothing})
