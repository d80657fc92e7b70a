"""Before any test: is what will run that which stands in the sources?"""

from __future__ import annotations

from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec
from pathlib import Path

import pytest

import addax
from tests.certificates import Authority

PACKAGE = Path(__file__).parents[1] / "src" / "addax"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse to test machine code that is not that of the sources. An installed wheel is as it was built."""
    if Path(addax.__file__).parent == PACKAGE:
        outdated = outdated_modules(PACKAGE)
        if outdated:
            raise pytest.UsageError(
                f"in {PACKAGE}, these are not compiled from the sources as they are now: {', '.join(outdated)}. "
                "./scripts/test compiles them, as does python scripts/compile_in_place.py; ADDAX_PURE=1 does without."
            )


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs certificates; each kind is made once."""
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="session")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("tls") / "other", "Other Authority")


def outdated_modules(package: Path) -> list[str]:
    """Modules that are not compiled though others are, or whose machine code is older than what it is made of.

    Empty where nothing is compiled, or where plain Python was asked for.
    """
    compiled, outdated = [], []
    declared = {path.with_suffix("") for pattern in ("*.pxd", "*.pyx") for path in package.rglob(pattern)}
    for stem in sorted(declared):
        name = ".".join(stem.relative_to(package.parent).parts)
        machine_code = _machine_code(name)
        made_of = [path for path in map(stem.with_suffix, (".py", ".pyx", ".pxd")) if path.exists()]
        if machine_code is not None:
            compiled.append(name)
        if machine_code is None or any(_time(path) > _time(machine_code) for path in made_of):
            outdated.append(name)
    return outdated if compiled else []


def _machine_code(name: str) -> Path | None:
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        return None
    is_compiled = spec is not None and isinstance(spec.loader, ExtensionFileLoader)
    return Path(spec.origin) if spec is not None and spec.origin and is_compiled else None


def _time(path: Path) -> int:
    return path.stat().st_mtime_ns
