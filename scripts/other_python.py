"""Print the newest Python on this machine that is not the one running this, or nothing.

``.ci/run`` calls it to run the suite on a second interpreter. Looked at: ``python3.N`` on PATH, and what pyenv has
installed. Final releases of CPython from 3.10 on count; free-threaded builds do not, their wheels are rare.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

OLDEST_MINOR = 10
NEWEST_MINOR = 30
PROBE = """
import sys, sysconfig, ssl, venv
usable = (
    sys.implementation.name == "cpython"
    and sys.version_info.releaselevel == "final"
    and not sysconfig.get_config_var("Py_GIL_DISABLED")
)
print(*sys.version_info[:3] if usable else ())
"""


def candidates() -> Iterator[str]:
    """Names and paths that may be interpreters."""
    for minor in range(OLDEST_MINOR, NEWEST_MINOR):
        yield f"python3.{minor}"
    pyenv_root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for python in sorted((pyenv_root / "versions").glob("3.*/bin/python")):
        yield str(python)


def version_of(python: str) -> tuple[int, ...]:
    """The interpreter's version, or () if it cannot be used; a pyenv shim without a version behind it fails here."""
    try:
        answer = subprocess.run([python, "-c", PROBE], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(int(part) for part in answer.stdout.split())


def newest_other(current: tuple[int, ...]) -> str | None:
    """The newest usable interpreter whose minor version is not the current one's."""
    found = {version_of(python): python for python in candidates()}
    usable = [version for version in found if version >= (3, OLDEST_MINOR) and version[:2] != current[:2]]
    return found[max(usable)] if usable else None


if __name__ == "__main__":
    print(newest_other(tuple(sys.version_info[:3])) or "")
