"""What is said besides "not found": the nearest name, what there is instead, and whose code failed.

Used by ``load_app``. A hint is empty or begins with a blank, so that it can follow a sentence.
"""

from __future__ import annotations

import os
import pkgutil
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from addax.config.interface import is_coroutine_function, positional_count

#: Where code lives that stands between the command line and the user's module: addax, and what it imports with.
_ADDAX = os.path.dirname(os.path.dirname(os.path.realpath(__file__))) + os.sep
_BETWEEN = (_ADDAX, "<frozen ", f"{os.sep}importlib{os.sep}__init__.py", f"{os.sep}site-packages{os.sep}click{os.sep}")

_FACTORY_WORDS = ("create_", "make_", "get_", "build_")


def trimmed_traceback(error: BaseException) -> str:
    """The traceback of an exception and of its causes, without frames of addax, importlib and click."""
    shown = traceback.TracebackException.from_exception(error)
    _trim(shown)
    return "".join(shown.format()).rstrip("\n")


def _trim(shown: traceback.TracebackException) -> None:
    users = [frame for frame in shown.stack if not _is_between(frame.filename)]
    shown.stack = traceback.StackSummary.from_list(users)
    # A tree, even where the exceptions themselves form a ring: every exception is captured once.
    for linked in (shown.__cause__, shown.__context__, *(getattr(shown, "exceptions", None) or ())):
        if linked is not None:
            _trim(linked)


def has_user_frames(error: BaseException) -> bool:
    """Whether an exception passed through code of the user, or was raised by it."""
    return any(not _is_between(frame.f_code.co_filename) for frame, _ in traceback.walk_tb(error.__traceback__))


def _is_between(filename: str) -> bool:
    return filename.startswith(_BETWEEN[:2]) or any(part in filename for part in _BETWEEN[2:])


def module_hint(name: str) -> str:
    """Why a module may not have been found, in the order of how likely that is."""
    import difflib  # for a mistake only, and not at each start

    if name.endswith(".py") or "/" in name or "\\" in name:
        dotted = name.removesuffix(".py").replace("\\", "/").strip("./").replace("/", ".")
        return f' That is a path: write the module\'s name, "{dotted}".'
    relative = Path(*name.split("."))
    if _is_module(relative) and not _is_searched(Path.cwd()):
        return " The current directory has it, but is not searched: add --app-dir with its path."
    for directory in _directories(Path.cwd()):
        if _is_module(directory / relative):
            return f' It is in the directory "{directory.name}": add --app-dir {directory.name}.'
    parent, _, last = name.rpartition(".")
    nearest = difflib.get_close_matches(last, _siblings(parent), n=1)
    return f' Did you mean "{parent}{"." if parent else ""}{nearest[0]}"?' if nearest else ""


def _is_module(path: Path) -> bool:
    return path.with_name(path.name + ".py").is_file() or (path / "__init__.py").is_file()


def _is_searched(directory: Path) -> bool:
    return any(Path(entry or ".").resolve() == directory.resolve() for entry in sys.path)


def _directories(parent: Path) -> list[Path]:
    try:
        return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def _siblings(parent: str) -> Iterable[str]:
    """Modules next to one that was not found: of its package, or of the directories that hold the user's code."""
    if not parent:
        paths = [str(Path.cwd()), *sys.path[:1]]
    else:
        package = sys.modules.get(parent)
        paths = list(getattr(package, "__path__", []))
    return [module.name for module in pkgutil.iter_modules(paths)]


def attribute_hint(holder: Any, name: str) -> str:
    """The nearest name that an object has, and which of its attributes look like applications or factories."""
    import difflib  # for a mistake only, and not at each start

    names = [candidate for candidate in dir(holder) if not candidate.startswith("_")]
    nearest = difflib.get_close_matches(name, names, n=1)
    hint = f' Did you mean "{nearest[0]}"?' if nearest else ""
    apps = [candidate for candidate in names if looks_like_app(getattr(holder, candidate, None))]
    factories = [candidate for candidate in names if _looks_like_factory(candidate, getattr(holder, candidate, None))]
    if apps:
        hint += f" What looks like an application there: {', '.join(apps)}."
    if factories:
        hint += f" What looks like a factory there (use --factory): {', '.join(factories)}."
    if not nearest and not apps and not factories:
        hint += f" It has: {', '.join(names[:20])}." if names else " It has no public names."
    return hint


def looks_like_app(thing: Any) -> bool:
    """Whether something takes scope, receive and send, and is no class."""
    return is_coroutine_function(thing) and positional_count(thing) == 3


def _looks_like_factory(name: str, thing: Any) -> bool:
    is_named_so = name.startswith(_FACTORY_WORDS) and name.rstrip("s").endswith(("app", "application"))
    return is_named_so and callable(thing) and positional_count(thing) in (0, None)
