"""Compiles the hot path where a C compiler is at hand; everything else about the package is in pyproject.toml.

A module is compiled when a ``.pxd`` lies beside its ``.py``, or when it is a ``.pyx``: all of them, or none. Without a
compiler, without Cython, or with ``ADDAX_PURE=1``, the same files are installed as plain Python, slower but otherwise
the same. So they are on interpreters that these modules would slow down: PyPy, where calls into C are dear, and the
free-threaded CPython, where importing one would switch the global lock on for the whole program (they are written for a
loop in one thread, and not declared safe without the lock).

    ADDAX_PURE=1        build nothing
    ADDAX_REQUIRE=1     a build that fails is an error, and not an install of plain Python
    ADDAX_SANITIZE=1    build with AddressSanitizer and UndefinedBehaviorSanitizer, see docs/contributing.md
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

SOURCES = Path("src")
#: One for each Python, like the rest of ``build``: by its time, what one has translated would look right to another.
CYTHON_OUTPUT = f"build/cython-{sys.implementation.cache_tag}"

DIRECTIVES = {
    "language_level": "3",
    # Plain method objects: calling one costs less, and nobody inspects these.
    "binding": False,
    # Types stand in the .pxd: an annotation is for the type checker, and means no more than in plain Python.
    "annotation_typing": False,
    "embedsignature": False,
    "initializedcheck": False,
    # None where an object of a compiled class is expected is an AttributeError, as in plain Python, and no crash.
    "nonecheck": True,
}


def is_set(variable: str) -> bool:
    """Whether a variable of the environment says yes: as ``addax/__init__.py`` reads ADDAX_PURE."""
    return os.environ.get(variable, "0") not in ("", "0")


def reason_for_plain_python() -> str:
    """Why nothing is to be compiled; empty if it is."""
    if is_set("ADDAX_PURE"):
        return "ADDAX_PURE is set"
    if sys.implementation.name != "cpython":
        return "this is not CPython"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this is a free-threaded Python"
    return ""


def compiled_sources() -> list[Path]:
    """The files to compile, the same list on every machine."""
    beside = [pxd.with_suffix(".py") for pxd in SOURCES.rglob("*.pxd")]
    return sorted([*(path for path in beside if path.exists()), *SOURCES.rglob("*.pyx")])


def extensions() -> list[Extension]:
    """One extension for each module to compile. Cython is called later, so that metadata comes without it."""
    return [
        Extension(
            ".".join(path.relative_to(SOURCES).with_suffix("").parts),
            [path.as_posix()],
            **compiler_options(sys.platform),
        )
        for path in compiled_sources()
    ]


def compiler_options(platform: str) -> dict[str, list[str]]:
    """What is said to compiler and linker beyond what Python was built with.

    Args:
        platform: as in ``sys.platform``.
    """
    if is_set("ADDAX_SANITIZE"):
        return {
            "extra_compile_args": [
                *("-O1", "-g", "-fno-omit-frame-pointer"),
                *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
            ],
            "extra_link_args": ["-fsanitize=address,undefined"],
        }
    if platform == "win32":
        # Python's own flags for MSVC are those of a release build.
        return {}
    # -g0: debugging information is five times as large as the code. The symbols stay, for profilers.
    # Ours would come after those of CFLAGS, and who sets that knows better.
    level = [] if os.environ.get("CFLAGS") else ["-O2", "-g0", *(["-fno-plt"] if platform == "linux" else [])]
    return {"extra_compile_args": [*level, "-Wno-unused-function"]}


class BuildAllOrNothing(build_ext):
    """Modules that are compiled know each other's layout: some compiled and some not would not work."""

    def run(self) -> None:
        """Build, or fall back to plain Python. What earlier builds have left and is not of this one is removed."""
        in_place = bool(self.inplace)
        if in_place:
            # Also those that will be built again: setuptools would not put an older one in the place of a newer one.
            self._remove_modules(SOURCES, keep=[])
        reason = reason_for_plain_python()
        if reason and is_set("ADDAX_REQUIRE"):
            raise SystemExit(f"addax: ADDAX_REQUIRE is set, but {reason}")
        if not reason:
            try:
                self._build()
            except Exception as error:
                if is_set("ADDAX_REQUIRE"):
                    raise
                reason = f"compiling failed: {error!r}"
        if reason:
            print(f"addax: plain Python is installed, because {reason}", file=sys.stderr)
            self.extensions = []
            self.distribution.ext_modules = []
        self._remove_modules(Path(self.build_lib), keep=self.extensions)

    def _build(self) -> None:
        from Cython.Build import cythonize

        self.parallel = self.parallel or os.cpu_count()
        translated = {
            extension.name: extension
            for extension in cythonize(
                self.extensions,
                include_path=[str(SOURCES)],
                compiler_directives=DIRECTIVES,
                build_dir=CYTHON_OUTPUT,
                force=bool(self.force),
                quiet=True,
            )
        }
        for extension in self.extensions:
            extension.sources = translated[extension.name].sources
            extension.depends = translated[extension.name].depends
        super().run()

    def _remove_modules(self, root: Path, keep: list[Extension]) -> None:
        names = {Path(self.get_ext_filename(extension.name)) for extension in keep}
        for path in root.glob(f"addax/**/*{sysconfig.get_config_var('EXT_SUFFIX')}"):
            if path.relative_to(root) not in names:
                path.unlink()


class HonestWheel(bdist_wheel):
    """Tags the wheel by what is in it. Whether that is machine code is known only after the build."""

    def run(self) -> None:
        """Build first, then write the wheel."""
        self.run_command("build")
        self.root_is_pure = not self.distribution.has_ext_modules()
        super().run()


# A process that Cython or setuptools spawns imports this file again.
if __name__ == "__main__":
    setup(ext_modules=extensions(), cmdclass={"build_ext": BuildAllOrNothing, "bdist_wheel": HonestWheel})
