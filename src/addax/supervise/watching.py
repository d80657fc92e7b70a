"""Tell when watched files change: what a watcher is, which one is taken, and the one that needs nothing installed.

The reloader makes a watcher with ``make_watcher`` and waits in ``wait_for_change``. A thread watches, the loop of the
reloader only hears of it: a look at a big tree keeps no signal waiting, giving up waiting is prompt, and what changes
while nobody waits is kept. ``watchfiles_backend`` builds on the ``StatWatcher`` here.
"""

from __future__ import annotations

import abc
import asyncio
import os
import stat
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import ClassVar

from addax.core.registry import WATCHERS, resolve
from addax.supervise.patterns import WatchRules, is_within

#: What ``--reload-delay 0`` means, in seconds.
SHORTEST_DELAY_S = 0.05
#: A burst of changes that does not end is reported after this many delays, but not before LONGEST_BURST_S seconds.
LONGEST_BURST_DELAYS, LONGEST_BURST_S = 8, 2.0
#: Looks may take a quarter of the time of one processor, whatever the size of the tree.
PAUSE_PER_LOOK = 3
#: How long ``close`` waits for the thread, in seconds. It may hang in a file system that does not answer.
THREAD_END_S = 2.0
#: How many names a line of the log has.
SHOWN_COUNT = 5

#: What is compared of a file: time of its last change in ns, size in bytes, number of the inode.
Signature = tuple[int, int, int]


class Watcher(abc.ABC):
    """Watches from ``start`` to ``close``. A subclass says how; its methods with an underscore run in a thread.

    Args:
        rules: what to watch.
        delay_s: pause between two looks, in seconds. A burst of changes is over when nothing more came for half of it,
            so that a change is known after about one delay.
    """

    #: For the log; the names that uvicorn has for the same.
    name: ClassVar[str]

    def __init__(self, rules: WatchRules, delay_s: float) -> None:
        self._rules = rules
        self._delay_s = max(delay_s, SHORTEST_DELAY_S)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._changed: set[str] = set()
        self._failure: Exception | None = None
        #: Set when there is something to say to who waits.
        self._has_news = asyncio.Event()

    async def start(self) -> None:
        """Take the first look. What changes after this returned is reported.

        Raises:
            OSError: looking at files failed for another reason than that one of them cannot be read.
        """
        loop = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        # A daemon, so that a file system that does not answer does not keep the process from its end.
        self._thread = threading.Thread(target=self._run, args=(loop,), name=f"addax-{self.name}", daemon=True)
        self._thread.start()
        await asyncio.wait((self._started, self._ended), return_when=asyncio.FIRST_COMPLETED)
        if not self._started.done():
            raise self._failure or RuntimeError(f"{self.name} cannot watch")

    async def wait_for_change(self) -> list[Path]:
        """Wait until a watched file was changed, added or deleted, and the burst of changes is over.

        Giving up waiting loses nothing: the next call has it.

        Returns:
            The files, sorted.

        Raises:
            RuntimeError: the watcher is not started, or closed.
        """
        if self._thread is None:
            raise RuntimeError(f"{self.name} is not watching")
        await self._has_news.wait()
        if self._failure is not None:
            raise self._failure
        if self._ended.done() or self._stop.is_set():
            raise RuntimeError(f"{self.name} is not watching any more")
        self._has_news.clear()
        paths, self._changed = sorted(self._changed), set()
        return [Path(path) for path in paths]

    async def close(self) -> None:
        """Stop watching, and wait until the thread has ended. Who waits for a change gets an error."""
        self._stop.set()
        self._has_news.set()
        if self._thread is not None:
            await asyncio.wait((self._ended,), timeout=THREAD_END_S)

    @abc.abstractmethod
    def _begin(self) -> None:
        """Take the first look."""

    @abc.abstractmethod
    def _next_changes(self, pause_s: float) -> set[str]:
        """Wait for changes, but not much longer than a pause, nor when ``_stop`` is set.

        Args:
            pause_s: the delay of the watcher, or less while a burst of changes goes on; in seconds.
        """

    def _end(self) -> None:
        """Let go of what ``_begin`` took."""

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        def tell(callback: Callable[..., None], *args: object) -> None:
            try:
                loop.call_soon_threadsafe(callback, *args)
            except RuntimeError:  # the loop is closed: nobody listens any more
                self._stop.set()

        try:
            self._begin()
            tell(self._note_start)
            self._gather(lambda paths: tell(self._report, paths))
        except Exception as error:
            tell(self._fail, error)
        finally:
            self._end()
            tell(self._note_end)

    def _gather(self, report: Callable[[set[str]], None]) -> None:
        burst = Burst(self._delay_s)
        while not self._stop.is_set():
            changed = self._next_changes(burst.quiet_s if burst.paths else self._delay_s)
            if burst.add(changed, monotonic()):
                report(burst.paths)
                burst = Burst(self._delay_s)

    def _note_start(self) -> None:
        self._started.set_result(None)

    def _note_end(self) -> None:
        self._ended.set_result(None)
        self._has_news.set()

    def _report(self, paths: set[str]) -> None:
        self._changed |= paths
        self._has_news.set()

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._has_news.set()


class Burst:
    """Changes that belong together: a checkout, a formatter, a file that is written in pieces.

    Args:
        delay_s: the delay of the watcher, in seconds.
    """

    def __init__(self, delay_s: float) -> None:
        self.quiet_s = delay_s / 2
        self.paths: set[str] = set()
        self._longest_s = max(LONGEST_BURST_S, LONGEST_BURST_DELAYS * delay_s)
        self._first_s = self._last_s = 0.0

    def add(self, paths: set[str], now_s: float) -> bool:
        """Add what the last look found, and say whether the burst is over."""
        if paths:
            if not self.paths:
                self._first_s = now_s
            self._last_s = now_s
            self.paths |= paths
        is_quiet = now_s - self._last_s >= self.quiet_s
        return bool(self.paths) and (is_quiet or now_s - self._first_s >= self._longest_s)


@dataclass
class Look:
    """What a look found.

    Attributes:
        files: every file that counts.
        directories: every directory that was looked into.
        apart: those of the files that the directory they lie in does not tell everything about: links, and files
            that were named and may lie anywhere.
        linked: the real paths of directories that a link led to.
    """

    files: dict[str, Signature] = field(default_factory=dict)
    directories: set[str] = field(default_factory=set)
    apart: set[str] = field(default_factory=set)
    linked: set[str] = field(default_factory=set)


class StatWatcher(Watcher):
    """Looks at all files again and again."""

    name = "StatReload"

    def __init__(self, rules: WatchRules, delay_s: float) -> None:
        super().__init__(rules, delay_s)
        self._seen = Look()
        #: How long the last look took, and when it was over.
        self._look_s = self._looked_s = 0.0

    def _begin(self) -> None:
        self._compare()

    def _next_changes(self, pause_s: float) -> set[str]:
        if pause_s == self._delay_s:  # not in a burst, of which somebody wants to hear
            pause_s = max(pause_s, PAUSE_PER_LOOK * self._look_s)
        self._stop.wait(pause_s)
        return self._compare()

    def _compare(self) -> set[str]:
        """Look at everything, and return what differs from the look before."""
        started_s = monotonic()
        look = take_look(self._rules, self._stop)
        self._looked_s = monotonic()
        self._look_s = self._looked_s - started_s
        if look is None:
            return set()
        before, self._seen = self._seen, look
        return {path for path in before.files.keys() | look.files if before.files.get(path) != look.files.get(path)}


def take_look(rules: WatchRules, stop: threading.Event) -> Look | None:
    """Find the files that count, and what is compared of them. What is not there or cannot be read is left out.

    A link to a directory is followed if that has nothing in common with what is watched already.

    Returns:
        None if ``stop`` was set meanwhile.
    """
    look = Look()
    for path in rules.files:
        _note(path, look, is_apart=True)
    links: list[str] = []
    to_enter = [str(directory) for directory in rules.directories]
    while to_enter:
        if stop.is_set():
            return None
        links += _enter(to_enter.pop(), rules, look, to_enter)
        if not to_enter:
            # Last, and in their order, so that every look comes to a place in the same way.
            to_enter, links = [link for link in sorted(links) if _is_new_place(link, rules, look)], []
    return look


def signature_of(path: str) -> Signature | None:
    """What is compared of a file, or None if there is no such file. Links are followed."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _enter(directory: str, rules: WatchRules, look: Look, to_enter: list[str]) -> list[str]:
    """Look into one directory; return the links to others in it."""
    links: list[str] = []
    try:
        with os.scandir(directory) as entries:
            look.directories.add(directory)
            for entry in entries:
                if not _is_directory(entry):
                    if rules.takes(entry.path):
                        _note(entry.path, look, is_apart=entry.is_symlink())
                elif not rules.skips(entry.path):
                    (links if entry.is_symlink() else to_enter).append(entry.path)
    except OSError:
        pass
    return links


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to where we may not look
        return False


def _note(path: str, look: Look, *, is_apart: bool) -> None:
    if is_apart:
        look.apart.add(path)
    signature = signature_of(path)
    if signature is not None:
        look.files[path] = signature


def _is_new_place(link: str, rules: WatchRules, look: Look) -> bool:
    place = os.path.realpath(link)
    others = [*map(str, rules.directories), *look.linked]
    if any(is_within(place, other) or is_within(other, place) for other in others):
        return False
    if any(is_within(place, excluded) for excluded in rules.excluded_directories):
        return False
    look.linked.add(place)
    return True


def make_watcher(rules: WatchRules, delay_s: float) -> Watcher:
    """The best watcher whose library is installed. Arguments as of ``Watcher``."""
    _, watcher = resolve("--reload", "auto", WATCHERS)
    made: Watcher = watcher(rules, delay_s)
    return made


def shown(paths: Iterable[Path], cwd: Path) -> str:
    """Names of files for a line of the log, relative to ``cwd`` where they lie below it: ``'app.py', 'pkg/x.py'``.

    They are written as Python writes strings, for a name may hold anything; one that comes twice is written once.
    """
    bases = (cwd, cwd.resolve())
    names = [
        next((path.relative_to(base) for base in bases if path.is_relative_to(base)), path)
        for path in dict.fromkeys(paths)
    ]
    line = ", ".join(repr(str(name)) for name in names[:SHOWN_COUNT])
    more_count = len(names) - SHOWN_COUNT
    return f"{line} and {more_count} more" if more_count > 0 else line
