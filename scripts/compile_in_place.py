"""Bring the compiled modules beside the sources up to date with them; ``_venv.sh`` calls this before anything is run.

Machine code from before an edit would be tested in place of the edit, and nobody would notice. So what was compiled is
remembered by content: in ``build/`` lies, for each kind of Python, a note of the sources and of the results. Modules
whose sources have another content are compiled again, whatever the times of the files say; if nothing has changed, this
takes a tenth of a second. Where compiling is not possible, nothing is left in the way of the plain Python files.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
#: They change what is compiled from the same sources.
VARIABLES = ("ADDAX_SANITIZE", "CC", "CFLAGS", "LDFLAGS")


def sources(root: Path) -> list[Path]:
    """What the machine code is made from, as setup.py chooses it."""
    declarations = sorted((root / "src").rglob("*.pxd"))
    beside = [path.with_suffix(".py") for path in declarations]
    return [*declarations, *(path for path in beside if path.exists()), *sorted((root / "src").rglob("*.pyx"))]


def results(root: Path, suffix: str) -> list[Path]:
    """The compiled modules that this Python would load."""
    return sorted((root / "src" / "addax").rglob(f"*{suffix}"))


def digests(root: Path, paths: list[Path]) -> dict[str, str]:
    """The content of files, by their path from the root."""
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def describe(root: Path, suffix: str) -> dict[str, Any]:
    """Everything by which a build can be told from another."""
    return {
        "settings": [digests(root, [root / "setup.py"]), {name: os.environ.get(name, "") for name in VARIABLES}],
        "sources": digests(root, sources(root)),
        "results": digests(root, results(root, suffix)),
    }


def bring_up_to_date(root: Path, suffix: str) -> None:
    """Compile what has changed since the note was written.

    Args:
        root: of the checkout.
        suffix: of extension modules of this Python.

    Raises:
        subprocess.CalledProcessError: the build failed; only with ADDAX_REQUIRE=1, else plain Python is what is left.
    """
    if not sources(root):
        return
    note = root / "build" / f"compiled{suffix}.json"
    old = _read(note)
    new = describe(root, suffix)
    if any(new[part] != old[part] for part in new):
        for name, digest in new["sources"].items():
            # Cython and setuptools compare times. Those of a file from elsewhere may be old, and a checkout of the same
            # content looks new.
            time_ns = old["times"][name] if old["sources"].get(name) == digest else time.time_ns()
            os.utime(root / name, ns=(time_ns, time_ns))
        force = ["--force"] if new["settings"] != old["settings"] else []
        note.unlink(missing_ok=True)
        command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", *force]
        subprocess.run(command, cwd=root, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        new = describe(root, suffix)
        if not new["results"]:
            return
        new["times"] = {name: (root / name).stat().st_mtime_ns for name in new["sources"]}
        note.parent.mkdir(exist_ok=True)
        note.write_text(json.dumps(new), encoding="utf-8")
    # A checkout of another branch and back makes the sources look newer than what was made from them.
    for path in results(root, suffix):
        os.utime(path)


def _read(note: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = {}
    empty: dict[str, Any] = {"settings": None, "sources": {}, "results": {}, "times": {}}
    return empty | content if content.keys() == empty.keys() else empty


if __name__ == "__main__":
    bring_up_to_date(ROOT, sysconfig.get_config_var("EXT_SUFFIX"))
