"""Are the distributions complete, and do they install on machines with and without a compiler?

``./scripts/check-dist`` runs this in the environment of the tests. A source distribution is made of the checkout, and
wheels of that in all the ways it has to be possible; they are installed into environments of their own and serve a
request there. About a minute on two cores.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHECK = ROOT / "scripts" / "check_install.py"
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
PATIENCE_S = 600
#: What the variables of the caller must not decide.
NOT_INHERITED = (
    "ADDAX_PURE",
    "ADDAX_REQUIRE",
    "ADDAX_SANITIZE",
    "CC",
    "CFLAGS",
    "LDFLAGS",
    "PYTHONPATH",
    "VIRTUAL_ENV",
)


def run(*command: str | Path, directory: Path, **variables: str) -> str:
    """Run a command with these variables; its output, which is shown if it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=directory,
        env=environment | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}\ncheck-dist: {' '.join(map(str, command))} failed")
    return done.stdout


def files_of_the_package() -> set[str]:
    """What a distribution must have, as paths below ``src``."""
    suffixes = {".py", ".pxd", ".pyi", ".pyx", ".html", ".typed"}
    found = (path for path in (ROOT / "src" / "addax").rglob("*") if path.suffix in suffixes)
    return {path.relative_to(ROOT / "src").as_posix() for path in found}


def make_sdist(directory: Path) -> Path:
    """The source distribution, which must have every file of the package, and nothing that was built."""
    code = "import sys, setuptools.build_meta as backend; print(backend.build_sdist(sys.argv[1]))"
    name = run(sys.executable, "-c", code, directory, directory=ROOT).splitlines()[-1]
    with tarfile.open(directory / name) as archive:
        names = {member.partition("/")[2] for member in archive.getnames()}
    wanted = {f"src/{path}" for path in files_of_the_package()} | {"setup.py", "pyproject.toml", "LICENSE", "README.md"}
    assert wanted <= names, f"missing in {name}: {sorted(wanted - names)}"
    built = [path for path in names if path.endswith((".c", ".so", ".pyd", ".pyc")) or path.startswith("build/")]
    assert not built, f"not wanted in {name}: {built}"
    return directory / name


def make_wheel(sdist: Path, directory: Path, *options: str, **variables: str) -> Path:
    """A wheel of the source distribution, made by pip in the way that options and variables describe."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-cache-dir"]
    run(*pip, *options, "--wheel-dir", directory, sdist, directory=directory.parent, **variables)
    (wheel,) = directory.glob("addax-*.whl")
    return wheel


def check_wheel(wheel: Path, *, is_compiled: bool) -> None:
    """A wheel has every file, the licence, and machine code for all modules or none, and its name says which."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = {path for path in files_of_the_package() if not path.endswith(".pyx")}
    assert wanted <= names, f"missing in {wheel.name}: {sorted(wanted - names)}"
    assert any(name.endswith("/licenses/LICENSE") for name in names), f"no licence in {wheel.name}"
    stems = {path.rsplit(".", 1)[0] for path in files_of_the_package() if path.endswith((".pxd", ".pyx"))}
    compiled = {name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)}
    assert compiled == (stems if is_compiled else set()), f"{wheel.name}: {sorted(compiled ^ stems)}"
    assert wheel.name.endswith("-py3-none-any.whl") != is_compiled, wheel.name
    assert not [name for name in names if name.endswith(".c")]


def check_installed(wheel: Path, directory: Path, variants: dict[str, str]) -> None:
    """Install a wheel as a user does, into a new environment, and serve a request with each value of ADDAX_PURE."""
    venv.create(directory, symlinks=os.name != "nt")
    python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", "--quiet"]
    run(*pip, wheel, directory=directory)
    for pure, variant in variants.items():
        print("   ", run(python, "-W", "error", CHECK, variant, directory=directory, ADDAX_PURE=pure).strip())


def hide_cython(directory: Path) -> Path:
    """A directory for PYTHONPATH with which Cython cannot be imported."""
    package = directory / "Cython"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('hidden')\n", encoding="utf-8")
    return directory


def main() -> None:
    """Check everything."""
    began = time.monotonic()
    work = Path(tempfile.mkdtemp(prefix="addax-dist-"))

    def step(text: str) -> None:
        print(f"--- {text} ({time.monotonic() - began:.0f} s)", flush=True)

    try:
        step("source distribution")
        sdist = make_sdist(work)
        # With the compiler and Cython that are here already: fetching them again for each would take the longest.
        as_it_is = "--no-build-isolation"
        for name, variables in {
            "without a compiler": {"CC": str(work / "no-compiler")},
            "without Cython": {"PYTHONPATH": str(hide_cython(work / "hidden"))},
            "with ADDAX_PURE=1": {"ADDAX_PURE": "1"},
        }.items():
            step(f"wheel {name}")
            wheel = make_wheel(sdist, work / name.replace(" ", "-"), as_it_is, **variables)
            check_wheel(wheel, is_compiled=False)
        check_installed(wheel, work / "pure", {"0": "pure"})
        if os.environ.get("ADDAX_REQUIRE", "0") in ("", "0") and not shutil.which(os.environ.get("CC", "cc")):
            step("no compiler here, so no compiled wheel was tried")
            return
        step("compiled wheel, in an environment that pip makes for it")
        # Not optimised: it is to be made quickly, and to work.
        wheel = make_wheel(sdist, work / "compiled-wheel", ADDAX_REQUIRE="1", CFLAGS="-O0 -g0")
        check_wheel(wheel, is_compiled=True)
        check_installed(wheel, work / "compiled", {"0": "compiled", "1": "pure"})
        step("the distributions are in order")
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
