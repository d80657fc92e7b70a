"""The environment that the benchmarks run in, and what a result has to say about the machine it was made on.

``run`` starts this with any Python of at least 3.10: it makes ``.venv-bench-<version>`` beside this file, with the
other servers in the exact versions of ``requirements.txt`` and addax built from this tree, compiled; then it prints the
interpreter to go on with. It uses the standard library only. The environment is used again until something changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
REQUIREMENTS = HERE / "requirements.txt"
#: What an installation of addax is made from.
TREE = ("src", "setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")

_PROBE = """
import json, sys
import addax.server.build
from addax.core.registry import PARSERS, resolve
usable = []
for name in PARSERS:
    try:
        resolve("--http", name, PARSERS)
        usable.append(name)
    except Exception:
        pass
cython = sorted(name.removeprefix("_cython_") for name in sys.modules if name.startswith("_cython_"))
loaded = [getattr(module, "__file__", None) or "" for name, module in sys.modules.items() if name.startswith("addax")]
is_compiled = any(not file.endswith(".py") for file in loaded if file)
print(json.dumps({"compiled": is_compiled, "parsers": usable, "cython": cython}))
"""


def prepare() -> Path:
    """Bring the environment of this interpreter up to date.

    Returns:
        Its interpreter.

    Raises:
        SystemExit: something could not be installed; pip has said what.
    """
    directory = HERE / f".venv-bench-{sys.version_info[0]}.{sys.version_info[1]}"
    python = directory / "bin" / "python"
    peers, addax = _digest([REQUIREMENTS]), _digest(_sources())
    if _stamp(directory, "peers") != peers + platform.python_version():
        _say(
            f"preparing {directory.name} with Python {platform.python_version()}: a minute or two, the first time only"
        )
        _run(sys.executable, "-m", "venv", "--clear", str(directory))
        _pip(python, "--requirement", str(REQUIREMENTS))
        _stamp(directory, "peers", peers + platform.python_version())
    if _stamp(directory, "addax") != addax:
        _say("compiling addax from this tree")
        with tempfile.TemporaryDirectory() as copy:
            # A copy, because what an earlier build left in the tree would be installed too.
            for name in TREE:
                if (ROOT / name).is_dir():
                    ignored = shutil.ignore_patterns("*.so", "*.c", "__pycache__", "*.egg-info")
                    shutil.copytree(ROOT / name, Path(copy) / name, ignore=ignored)
                elif (ROOT / name).exists():
                    shutil.copy(ROOT / name, copy)
            _pip(python, "--force-reinstall", "--no-deps", copy, ADDAX_REQUIRE="1")
        _run(str(python), "-m", "pip", "check")
        _stamp(directory, "addax", addax)
    return python


def _sources() -> list[Path]:
    files = [path for name in TREE for path in ([ROOT / name] if (ROOT / name).is_file() else (ROOT / name).rglob("*"))]
    return sorted(path for path in files if path.suffix in {".py", ".pyx", ".pxd", ".h", ".toml", ".html", ".in"})


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _stamp(directory: Path, name: str, value: str = "") -> str:
    """Read, or with a value write, what an environment was made from."""
    file = directory / f"{name}.stamp"
    if value:
        file.write_text(value)
    return file.read_text() if file.exists() else ""


def _pip(python: Path, *arguments: str, **variables: str) -> None:
    _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments, **variables)


def _run(*command: str, **variables: str) -> None:
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ADDAX_PURE")}
    done = subprocess.run(
        command, env={**environ, **variables}, stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=1200, check=False
    )
    if done.returncode != 0:
        sys.exit(f"this failed: {' '.join(command)}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def child_environ(pure: bool = False, **variables: str) -> dict[str, str]:
    """Variables of a process under measurement: it finds ``cases``, and addax compiled or as plain Python."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ADDAX_")}
    path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    environ |= {"PYTHONPATH": path, **variables}
    return {**environ, "ADDAX_PURE": "1"} if pure else environ


def tree_path() -> dict[str, str]:
    """The variable with which a process finds addax in this tree instead of an installed one."""
    path = filter(None, (str(HERE), str(ROOT / "src"), os.environ.get("PYTHONPATH")))
    return {"PYTHONPATH": os.pathsep.join(path)}


def probe_addax(pure: bool, **variables: str) -> dict[str, Any]:
    """Whether addax as installed is compiled, and the parsers that it can use.

    Returns:
        ``{"compiled": bool, "parsers": [names], "cython": [version that has compiled it]}``
    """
    command = [sys.executable, "-c", _PROBE]
    done = subprocess.run(
        command, env=child_environ(pure, **variables), capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        sys.exit(f"addax cannot be imported:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def describe() -> dict[str, Any]:
    """The machine, the versions and the date."""
    names = [line.partition("==")[0] for line in REQUIREMENTS.read_text().splitlines() if "==" in line]
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": platform.python_compiler(),
        "addax": probe_addax(pure=False),
        "versions": {"addax": version("addax"), **{name: version(name) for name in names}},
        "tools": {"wrk": _tool_version("wrk", "-v"), "valgrind": _tool_version("valgrind", "--version")},
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.processor() or "unknown"


def _tool_version(tool: str, flag: str) -> str | None:
    if shutil.which(tool) is None:
        return None
    done = subprocess.run([tool, flag], capture_output=True, text=True, timeout=10, check=False)
    return (done.stdout + done.stderr).splitlines()[0].partition(" [")[0].partition(" Copyright")[0]


def version_of(distribution: str) -> str:
    """The installed version of a package, or an empty string."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    print(prepare())
