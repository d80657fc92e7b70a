"""Hear of changed files from the system. The one place that imports watchfiles.

``make_watcher`` takes this if watchfiles is installed. What the system tells is not enough: a directory that is moved
in comes with no word of the files in it, a watch on a deleted directory is silent about the next one of that name, and
what happens between the making of a directory and the watch on it is lost. So an event only says that it is time to
look, and the look of ``StatWatcher`` says what has changed. The order is always: watch first, then look.

It is ``RustNotify`` and not ``awatch``, which needs anyio, throws away what it heard when it is cancelled, and writes a
line to the log for files that are none of our business, which with a log file in the directory never ends.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
from time import monotonic

from watchfiles._rust_notify import RustNotify

from addax.supervise.patterns import WatchRules, is_within
from addax.supervise.watching import StatWatcher, signature_of

logger = logging.getLogger("addax.error")

#: How often RustNotify looks whether it has something to say or shall stop, in ms.
STEP_MS = 50
#: How often watchfiles looks at files where it finds no other way, in ms.
POLL_MS = 300
#: So often the files are looked at in any case, in seconds, if that takes less than a twentieth of the time: the system
#: forgets events when there are too many at a time, and directories of other machines tell nothing.
RARE_LOOK_S, PAUSE_PER_RARE_LOOK = 5.0, 20
#: The kinds of events that matter here, as watchfiles numbers them.
ADDED, MODIFIED = 1, 2
#: On Linux each directory is watched for itself, so that those that are excluded cost nothing, and we hear of an error
#: where one cannot be watched. Other systems watch trees.
IS_PER_DIRECTORY = sys.platform == "linux"


class WatchfilesWatcher(StatWatcher):
    """Waits until the system tells of a change, and looks at the files then.

    Where the system cannot tell, this looks again and again as a ``StatWatcher`` does.
    """

    name = "WatchFiles"

    def __init__(self, rules: WatchRules, delay_s: float) -> None:
        super().__init__(rules, delay_s)
        self._notify: RustNotify | None = None
        #: What ``_notify`` watches.
        self._watched: set[str] = set()
        self._is_polling = has_to_poll()

    def _begin(self) -> None:
        self._compare()  # to know the directories
        self._watch()
        self._compare()

    def _next_changes(self, pause_s: float) -> set[str]:
        if self._notify is None:
            self._watch()
            changed = super()._next_changes(pause_s)
        else:
            paths = self._wait_for_events(self._notify, pause_s)
            if paths is None:
                return set()
            before = self._seen.files
            changed = self._compare()
            # What came and went between two looks is nobody's concern; a change that a look cannot see is one.
            changed |= {path for path in paths if path in before or path in self._seen.files}
        if self._watched != self._to_watch():
            self._let_go()
        return changed

    def _end(self) -> None:
        self._let_go()

    def _watch(self) -> None:
        if self._is_polling:
            return
        self._watched = self._to_watch()
        try:
            self._notify = RustNotify(sorted(self._watched), False, False, POLL_MS, not IS_PER_DIRECTORY, False)
        except (FileNotFoundError, PermissionError):
            pass  # one has just gone; the next look knows
        except (OSError, RuntimeError, ValueError) as error:
            # Mostly the limit of watches, for which the system has its own words; or a name that is not UTF-8.
            self._is_polling = True
            reason = repr(str(error))
            logger.warning("Not all directories can be watched (%s); looking at the files again and again.", reason)

    def _let_go(self) -> None:
        """Stop watching; the next look for changes watches anew, and finds what happened in between."""
        if self._notify is not None:
            self._notify.close()
            self._notify = None

    def _to_watch(self) -> set[str]:
        if IS_PER_DIRECTORY:
            return set(self._seen.directories)
        roots = {str(root) for root in self._rules.directories}
        return (roots & self._seen.directories) | self._seen.linked

    def _wait_for_events(self, notify: RustNotify, pause_s: float) -> set[str] | None:
        """Wait, and return the paths of which something was told; or None if there is no reason to look."""
        pause_ms = max(1, int(pause_s * 1000))
        try:
            told = notify.watch(pause_ms, min(STEP_MS, pause_ms), pause_ms, self._stop)
        except RuntimeError as error:
            # From now on it would always fail. A file whose name is not UTF-8 is a cause, and nothing to warn of.
            logger.debug("Watching begins anew: %r", str(error))
            self._let_go()
            return set()
        events = told if isinstance(told, set) else set()
        if any(kind != MODIFIED and path in self._seen.directories for kind, path in events):
            self._let_go()  # it is gone, and maybe there is a new one of that name, which nobody watches
        if any(self._is_worth_a_look(kind, path) for kind, path in events) or self._is_changed_unheard():
            return {path for _, path in events}
        return None

    def _is_worth_a_look(self, kind: int, path: str) -> bool:
        if path in self._seen.directories or self._rules.matches(path):
            return True
        if any(is_within(path, place) for place in self._seen.linked):  # told by its real name, of which no rule knows
            return True
        return kind == ADDED and os.path.isdir(path) and self._rules.reaches(path)

    def _is_changed_unheard(self) -> bool:
        """Whether there may be a change of which no event tells: of links, of files in other places, of a root."""
        if monotonic() - self._looked_s >= max(RARE_LOOK_S, PAUSE_PER_RARE_LOOK * self._look_s):
            return True
        seen = self._seen
        if any(signature_of(path) != seen.files.get(path) for path in seen.apart):
            return True
        return any(os.path.isdir(root) != (str(root) in seen.directories) for root in self._rules.directories)


def has_to_poll() -> bool:
    """Whether the system's events are not to be relied on; as watchfiles decides it.

    ``WATCHFILES_FORCE_POLLING`` says so, which is needed for some network file systems and containers. Without it, the
    Linux in Windows is a place where files change and nothing is told.
    """
    forced = os.environ.get("WATCHFILES_FORCE_POLLING")
    if forced:
        return forced.lower() not in ("false", "disable", "disabled")
    return "microsoft-standard" in platform.release().lower()
