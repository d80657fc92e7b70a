"""Which files count for ``--reload``.

``make_rules`` reads the options once; the watchers in ``watching`` and ``watchfiles_backend`` ask the ``WatchRules``
that come out, and so mean the same files. Inside, paths are strings, for a look at a big tree asks very often.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

DEFAULT_INCLUDES = ("*.py",)
#: Of files only: a hidden directory may well hold the application.
DEFAULT_EXCLUDES = (".*", ".py[cod]", ".sw.*", "~*")
#: Directories that change often, or are huge, and hold nobody's application. ``site-packages`` is there for virtual
#: environments under any name. What lies in one is watched by naming a directory in it.
DEFAULT_EXCLUDED_DIRECTORIES = (
    ".git",
    ".hg",
    ".mypy_cache",
    ".nox",
    ".pytest_cache",
    ".ruff_cache",
    ".svn",
    ".tox",
    ".venv",
    "__pycache__",
    "node_modules",
    "site-packages",
)
#: As an exclude it means files: nobody who writes it wants to lose every directory whose name begins so.
_HIDDEN_FILES = ".*"
_WILDCARDS = re.compile(r"[*?\[]")
_FLAGS = re.IGNORECASE if os.name == "nt" else 0
#: Stands for ``**`` between the expressions of a pattern's segments.
_ANY_DEPTH = None
_ANYTHING = re.compile("")


class Globs:
    """Some patterns. One without a slash is for the file's name; one with slashes is for the end of its path.

    ``*`` stays inside a name, ``**`` stands for any number of directories. An absolute pattern is for the whole path.

    Args:
        patterns: texts with forward slashes.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        unique = sorted(set(patterns))
        names = [fnmatch.translate(pattern) for pattern in unique if "/" not in pattern]
        self._name = re.compile("|".join(names), _FLAGS) if names else None
        self._paths = [_segments(pattern) for pattern in unique if "/" in pattern]

    def match(self, path: str) -> bool:
        """Whether any of them is for this absolute path."""
        if self._name is not None and self._name.match(os.path.basename(path)):
            return True
        if not self._paths:
            return False
        segments = _with_slashes(path).split("/")
        return any(_match_segments(pattern, segments) for pattern in self._paths)


@dataclass(frozen=True)
class WatchRules:
    """What to watch. Made by ``make_rules``.

    Attributes:
        directories: absolute and without symbolic links; none lies in another one that leads to it.
        files: files that were named by their path; they count whatever the patterns say.
        includes: patterns of files that count.
        named: the includes without wildcards. What is named so is meant, and no pattern excludes it.
        excludes: patterns of files that do not count.
        skipped: patterns of directories that are not entered.
        excluded_directories: absolute paths of directories that are not entered.
    """

    directories: tuple[Path, ...]
    files: frozenset[str]
    includes: Globs
    named: Globs
    excludes: Globs
    skipped: Globs
    excluded_directories: frozenset[str]

    def matches(self, path: str | os.PathLike[str]) -> bool:
        """Whether a file with this absolute path counts. The file need not exist."""
        text = os.fspath(path)
        return text in self.files or (self.takes(text) and self.reaches(os.path.dirname(text)))

    def reaches(self, directory: str) -> bool:
        """Whether a look comes into a directory: it is a watched one or below, and nothing on the way is excluded."""
        return any(self._leads(str(root), directory) for root in self.directories)

    def takes(self, path: str) -> bool:
        """Whether the patterns are for a file, wherever it lies."""
        return self.includes.match(path) and (self.named.match(path) or not self.excludes.match(path))

    def skips(self, directory: str) -> bool:
        """Whether a directory below a watched one is not entered; those between are not looked at."""
        return directory in self.excluded_directories or self.skipped.match(directory)

    def _leads(self, root: str, directory: str) -> bool:
        if not is_within(directory, root):
            return False
        while directory != root:
            if self.skips(directory):
                return False
            directory = os.path.dirname(directory)
        return True


def make_rules(
    dirs: Sequence[str | os.PathLike[str]],
    includes: Sequence[str],
    excludes: Sequence[str],
    cwd: str | os.PathLike[str],
) -> WatchRules:
    """Read the options.

    Args:
        dirs: ``--reload-dir``; none means ``cwd``. One that does not exist is watched when it appears.
        includes: ``--reload-include``: patterns, besides ``*.py``; directories to watch too; or files.
        excludes: ``--reload-exclude``: patterns, or directories. A pattern excludes directories as well.
        cwd: what relative paths are relative to, and patterns in which ``.`` or ``..`` is a directory.
    """
    home = os.path.realpath(cwd)
    includes, excludes = _tidy(includes), _tidy(excludes)
    included, include_globs = _split(home, includes)
    excluded, exclude_globs = _split(home, excludes)
    # Under the name of a link as well: a look comes to a linked directory by that.
    closed = frozenset(map(os.path.realpath, excluded)) | frozenset(map(_named_path, excluded))
    roots = {os.path.realpath(path) for path in [*(os.path.join(home, path) for path in dirs or (home,)), *included]}
    files = {_named_path(os.path.join(home, text)) for text in includes if os.path.isfile(os.path.join(home, text))}
    files |= {root for root in roots if os.path.isfile(root)}
    roots = {root for root in roots - files if not any(is_within(root, directory) for directory in closed)}

    wanted = [text for text in DEFAULT_INCLUDES if text not in excludes] + include_globs
    unwanted = [text for text in DEFAULT_EXCLUDES if text not in includes] + exclude_globs
    skipped = [text for text in DEFAULT_EXCLUDED_DIRECTORIES if text not in includes]
    rules = WatchRules(
        directories=tuple(Path(root) for root in sorted(roots)),
        files=frozenset(files),
        includes=_globs(home, wanted),
        named=_globs(home, (text for text in include_globs if not _WILDCARDS.search(text))),
        excludes=_globs(home, unwanted),
        skipped=_globs(home, skipped + [text for text in unwanted if text != _HIDDEN_FILES]),
        excluded_directories=closed,
    )
    return replace(rules, directories=_collapsed(rules))


def is_within(path: str, directory: str) -> bool:
    """Whether a path is that of the directory, or lies in it. Both are absolute."""
    return path == directory or path.startswith(directory if directory.endswith(os.sep) else directory + os.sep)


def _collapsed(rules: WatchRules) -> tuple[Path, ...]:
    """The directories without those that a look at another one comes to.

    A directory in an excluded one, say in ``.venv``, stays: it was named, and the way to it is closed.
    """
    kept: list[Path] = []
    for root in rules.directories:  # sorted, so that what holds a directory comes before it
        if not replace(rules, directories=tuple(kept)).reaches(str(root)):
            kept.append(root)
    return tuple(kept)


def _tidy(texts: Sequence[str]) -> list[str]:
    """With forward slashes, and without one at the end or a text with nothing in it."""
    return [_with_slashes(text).rstrip("/") or "/" for text in texts if text.strip()]


def _with_slashes(path: str) -> str:
    return path if os.sep == "/" else path.replace(os.sep, "/")


def _split(home: str, texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """The absolute paths of those that are directories, and the others, which are patterns."""
    directories = [os.path.join(home, text) for text in texts if os.path.isdir(os.path.join(home, text))]
    return directories, [text for text in texts if not os.path.isdir(os.path.join(home, text))]


def _named_path(path: str) -> str:
    """A path with its own name, not that of what a link of this name points to: either of the two may be replaced."""
    directory, name = os.path.split(os.path.normpath(path))
    return os.path.join(os.path.realpath(directory), name)


def _globs(home: str, texts: Iterable[str]) -> Globs:
    return Globs(_anchored(home, text) for text in texts)


def _anchored(home: str, text: str) -> str:
    """A pattern as the watchers can use it: absolute if it is bound to a place, with the real path of that place."""
    if not {".", ".."}.isdisjoint(text.split("/")):
        text = os.path.join(home, text)
    if not os.path.isabs(text):
        return text
    parts = _with_slashes(os.path.normpath(text)).split("/")
    first = next((index for index, part in enumerate(parts) if _WILDCARDS.search(part)), len(parts) - 1)
    place = os.path.realpath("/".join(parts[:first]) or os.sep)
    return _with_slashes(os.path.join(place, *parts[first:]))


def _segments(pattern: str) -> list[re.Pattern[str] | None]:
    parts = [_ANY_DEPTH if part == "**" else re.compile(fnmatch.translate(part), _FLAGS) for part in pattern.split("/")]
    if parts[-1] is _ANY_DEPTH:  # what is in a directory, not the directory
        parts.append(_ANYTHING)
    return parts if os.path.isabs(pattern) else [_ANY_DEPTH, *parts]


def _match_segments(pattern: Sequence[re.Pattern[str] | None], segments: Sequence[str]) -> bool:
    if not pattern:
        return not segments
    first, rest = pattern[0], pattern[1:]
    if first is _ANY_DEPTH:
        return any(_match_segments(rest, segments[start:]) for start in range(len(segments) + 1))
    return bool(segments) and first.match(segments[0]) is not None and _match_segments(rest, segments[1:])
