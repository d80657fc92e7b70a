"""What the value of an option can be: numbers, switches, names, paths. The option table is made of these.

A kind reads a value wherever it came from: text of the command line or of an environment variable, or any object that
code passed to ``Config``. It returns the value in the one form that the rest of addax sees, or raises ``ValueError``
with a reason that fits behind ``--option: ``. Reading a value that was already read gives the same value.
Used by ``options`` (the table) and ``texts`` (kinds with a grammar of their own).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_YES = frozenset({"1", "true", "t", "yes", "y", "on"})
_NO = frozenset({"0", "false", "f", "no", "n", "off"})
_WHOLE = re.compile(r"[+-]?[0-9]+")
_SIZE = re.compile(r"([0-9]+)([kmg]?)(?:i?b)?", re.IGNORECASE)
_POWERS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


class Kind:
    """One kind of value.

    Attributes:
        metavar: what stands for the value in ``--help``.
        unit: what a number counts; empty if nothing.
        none_is_text: whether the word ``none`` means "no value" in text.
    """

    metavar: str = "TEXT"
    unit: str = ""
    none_is_text: bool = False

    def read(self, value: object) -> Any:
        """Check a value and bring it to its one form.

        Raises:
            ValueError: it cannot be used; the message is the reason.
        """
        raise NotImplementedError

    def placeholder(self) -> str:
        """What stands for the value in ``--help``."""
        return self.metavar

    def allowed(self) -> str:
        """Which values are allowed, for help and documentation; empty if there is nothing to add to the metavar."""
        return ""

    def to_setting(self, value: Any) -> Any:
        """The value as ``core.settings`` wants it."""
        return value

    def split(self, text: str) -> list[str]:
        """Cut an environment variable of an option that can be given several times."""
        return text.split()


@dataclass(frozen=True)
class Text(Kind):
    """Any text; paths are taken as text too."""

    metavar: str = "TEXT"

    def read(self, value: object) -> str:
        """See ``Kind.read``."""
        return as_text(value)


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number between two bounds, both included; None: no bound on that side."""

    low: int | None = None
    high: int | None = None
    unit: str = ""
    metavar = "INTEGER"
    none_is_text = True

    def read(self, value: object) -> int:
        """See ``Kind.read``."""
        if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{value!r} is not a whole number")
        return within(value, self.low, self.high)

    def allowed(self) -> str:
        """See ``Kind.allowed``."""
        return bounds(self.low, self.high)


class FoundCount(int):
    """A number that was found out, for who tells the user why it is this one.

    Attributes:
        reason: a short phrase.
    """

    reason: str = ""


@dataclass(frozen=True)
class WorkerCount(Whole):
    """How many processes, or ``auto`` for what the machine has room for."""

    low: int | None = 1
    unit: str = "processes"
    metavar = "INTEGER|auto"

    def read(self, value: object) -> int:
        """See ``Kind.read``."""
        if isinstance(value, str) and value.strip().lower() == "auto":
            # For who asks, and not at each start.
            from addax.config.capacity import find_capacity

            capacity = find_capacity()
            count = FoundCount(capacity.count)
            count.reason = capacity.reason
            return count
        try:
            return super().read(value)
        except ValueError as error:
            raise ValueError(f"{error}, nor auto") from None

    def allowed(self) -> str:
        """See ``Kind.allowed``."""
        return f"auto, or {super().allowed()}"


@dataclass(frozen=True)
class Inherited(Whole):
    """The descriptor of a socket, or ``systemd`` or ``systemd:NAME`` for those that systemd has passed."""

    low: int | None = 0
    metavar = "INTEGER|systemd[:NAME]"

    def read(self, value: object) -> int | str:  # type: ignore[override]  # the only one that may stay a word
        """See ``Kind.read``."""
        if isinstance(value, str):
            text = value.strip()
            word, has_name, name = text.partition(":")
            if word == "systemd" and bool(has_name) == bool(name):
                return text
        try:
            return super().read(value)
        except ValueError as error:
            raise ValueError(f"{error}, nor systemd, nor systemd:NAME") from None

    def allowed(self) -> str:
        """See ``Kind.allowed``."""
        return f"{super().allowed()}, systemd, or systemd:NAME"


@dataclass(frozen=True)
class Size(Kind):
    """A number of bytes; text may end in k, m or g (powers of 1024)."""

    low: int = 1
    unit = "bytes"
    metavar = "SIZE"
    none_is_text = True

    def read(self, value: object) -> int:
        """See ``Kind.read``."""
        if isinstance(value, str):
            found = _SIZE.fullmatch(value.strip())
            if found is None:
                raise ValueError(f"{value!r} is not a size: write bytes, or a number with k, m or g, as in 64k")
            value = int(found[1]) * _POWERS[found[2].lower()]
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{value!r} is not a whole number of bytes")
        return within(value, self.low, None)

    def allowed(self) -> str:
        """See ``Kind.allowed``."""
        return bounds(self.low, None)


@dataclass(frozen=True)
class Seconds(Kind):
    """A length of time; whole numbers stay whole. ``zero`` says whether 0 is allowed."""

    zero: bool = False
    unit = "seconds"
    metavar = "SECONDS"
    none_is_text = True

    def read(self, value: object) -> float:
        """See ``Kind.read``."""
        number = _number(value)
        if number < 0 or (number == 0 and not self.zero):
            raise ValueError(f"{value} is not {self.allowed()}")
        return number

    def allowed(self) -> str:
        """See ``Kind.allowed``."""
        return "0 or more" if self.zero else "more than 0"

    def to_setting(self, value: Any) -> float:
        """See ``Kind.to_setting``."""
        return float(value)


def _number(value: object) -> float:
    if isinstance(value, str):
        text = value.strip()
        try:
            value = int(text) if _WHOLE.fullmatch(text) else float(text)
        except ValueError:
            raise ValueError(f"{value!r} is not a number of seconds") from None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number of seconds")
    return value


@dataclass(frozen=True)
class Boolean(Kind):
    """Yes or no.

    Attributes:
        style: on the command line ``flag`` is ``--name`` alone, ``pair`` is ``--name`` or ``--no-name``, and ``value``
            takes a word.
    """

    style: str = "flag"
    metavar = "BOOLEAN"

    def read(self, value: object) -> bool:
        """See ``Kind.read``."""
        if isinstance(value, str):
            word = value.strip().lower()
            if word in _YES or word in _NO:
                return word in _YES
        elif isinstance(value, int) and value in (0, 1):
            return bool(value)
        raise ValueError(f"{value!r} is neither yes nor no: write true or false")

    def allowed(self) -> str:
        """See ``Kind.allowed``."""
        return "true or false" if self.style == "value" else ""


@dataclass(frozen=True)
class Choice(Kind):
    """One of a few names; with ``target`` also an import string.

    Attributes:
        choices: the names, the default first where there is one.
        later: names that are understood, but whose feature this version does not have.
        target: form of the import string, for example ``module:factory``; empty: none is allowed.
        misfit: why an object of some other type is not taken; empty: the general reason.
    """

    choices: tuple[str, ...]
    later: tuple[str, ...] = ()
    target: str = ""
    misfit: str = ""

    def placeholder(self) -> str:
        """See ``Kind.placeholder``."""
        return "[" + "|".join((*self.choices, self.target) if self.target else self.choices) + "]"

    def read(self, value: object) -> str:
        """See ``Kind.read``."""
        if not isinstance(value, str):
            raise ValueError(self.misfit or f"{value!r} is not a name")
        if value in self.choices or value in self.later:
            return value
        if self.target and ":" in value:
            module, _, attribute = value.partition(":")
            if module and attribute:
                return value
        if value.lower() in self.choices:
            return value.lower()
        raise ValueError(f"{value!r} is not one of {self.allowed()}")

    def allowed(self) -> str:
        """See ``Kind.allowed``."""
        return ", ".join(self.choices) + (f", or {self.target}" if self.target else "")


@dataclass(frozen=True)
class LogLevel(Kind):
    """A level's name, or its number when it comes from code."""

    choices: tuple[str, ...]

    def placeholder(self) -> str:
        """See ``Kind.placeholder``."""
        return "[" + "|".join(self.choices) + "]"

    def read(self, value: object) -> str | int:
        """See ``Kind.read``."""
        if isinstance(value, int) and not isinstance(value, bool):
            return within(value, 0, None)
        if isinstance(value, str) and value.lower() in self.choices:
            return value.lower()
        raise ValueError(f"{value!r} is not one of {self.allowed()}")

    def allowed(self) -> str:
        """See ``Kind.allowed``."""
        return ", ".join(self.choices)


@dataclass(frozen=True)
class ExistingFile(Kind):
    """The path of a file that can be found now."""

    metavar = "FILE"

    def read(self, value: object) -> str:
        """See ``Kind.read``."""
        path = as_text(value)
        if not os.path.exists(path):
            raise ValueError(f"file {path!r} does not exist")
        if os.path.isdir(path):
            raise ValueError(f"{path!r} is a directory, not a file")
        return path


@dataclass(frozen=True)
class ExistingDirectory(Kind):
    """The path of a directory that can be found now; empty text is the current one."""

    metavar = "DIRECTORY"

    def read(self, value: object) -> str:
        """See ``Kind.read``."""
        path = as_text(value)
        if path and not os.path.isdir(path):
            raise ValueError(f"directory {path!r} does not exist")
        return path

    def split(self, text: str) -> list[str]:
        """See ``Kind.split``: a path may hold blanks, so these are separated as in PATH."""
        return [part for part in text.split(os.pathsep) if part]


@dataclass(frozen=True)
class LogConfig(ExistingFile):
    """A file for the command line; code may pass a dict, an open file or a RawConfigParser as well."""

    def read(self, value: object) -> Any:
        """See ``Kind.read``."""
        return super().read(value) if isinstance(value, (str, os.PathLike)) else value


@dataclass(frozen=True)
class CallableObject(Kind):
    """Something to call; only code can pass it."""

    metavar = "CALLABLE"

    def read(self, value: object) -> Callable[..., Any]:
        """See ``Kind.read``."""
        if not callable(value):
            raise ValueError(f"{value!r} cannot be called")
        return value


def as_text(value: object) -> str:
    """Text, or a path as text.

    Raises:
        ValueError: it is neither.
    """
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        raise ValueError(f"{value!r} is not text")
    return text


def within(number: int, low: int | None, high: int | None) -> int:
    """The number itself.

    Raises:
        ValueError: it is outside of the bounds.
    """
    if (low is not None and number < low) or (high is not None and number > high):
        words = "in the range " if low is not None and high is not None else ""
        raise ValueError(f"{number} is not {words}{bounds(low, high)}")
    return number


def bounds(low: int | None, high: int | None) -> str:
    """Bounds in words; empty if there are none."""
    if low is not None and high is not None:
        return f"{low} to {high}"
    return "" if low is None else f"{low} or more"
