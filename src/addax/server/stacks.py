"""Where the threads and the tasks of this process are, in words. Used by ``watchdog``, from a thread of its own."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from addax.core.report import InProgress
from addax.observe.escape import escape_path, escape_text

#: So many threads and tasks are described; a process may have thousands.
THREADS_MAX_COUNT = 50
TASKS_MAX_COUNT = 20

_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep
_OWN = os.path.dirname(os.path.dirname(__file__)) + os.sep
#: Of ours, but applications.
_EXAMPLES = os.path.join(_OWN, "examples") + os.sep
_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
#: Who runs an event loop: what lies outside of it has called the loop, and does not block it.
_LOOPS = (
    (os.path.join(_STANDARD_LIBRARY, "asyncio", "base_events.py"), "_run_once"),
    (os.path.join(_STANDARD_LIBRARY, "asyncio", "runners.py"), "run"),
    (os.path.join(_OWN, "loops", "running.py"), "run"),
    (os.path.join(_OWN, "loops", "running.py"), "_run"),
)
_DEBUGGERS = frozenset(("bdb", "pdb", "ipdb", "pudb", "pydevd", "_pydevd_bundle", "debugpy"))

_APPLICATION, _LIBRARY, _MACHINERY = range(3)


def frame_of(thread_id: int) -> FrameType | None:
    """The innermost Python frame of a thread."""
    return sys._current_frames().get(thread_id)


def is_debugged(frame: FrameType | None) -> bool:
    """Whether a debugger holds the thread that this frame is the innermost one of."""
    return any(str(outer.f_globals.get("__name__")).partition(".")[0] in _DEBUGGERS for outer in _outwards(frame))


def blocking_place(frame: FrameType | None) -> str:
    """Where in an application the event loop's thread is.

    Args:
        frame: its innermost one.

    Returns:
        ``file:line in function``, of the application's innermost frame. If that has called a library, the library's
        innermost frame stands before it. Where there is neither, the innermost one of all; empty without any.
    """
    library: FrameType | None = None
    for outer in _outwards(frame):
        if (outer.f_code.co_filename, outer.f_code.co_name) in _LOOPS:
            break
        kind = _kind(outer.f_code.co_filename)
        if kind == _APPLICATION:
            return place(outer) if library is None else f"{place(library)}, called at {place(outer)}"
        if kind == _LIBRARY and library is None:
            library = outer
    found = library or frame
    return "" if found is None else place(found)


def place(frame: FrameType) -> str:
    """``file:line in function`` of a frame."""
    code = frame.f_code
    return escape_text(f"{_short(code.co_filename)}:{frame.f_lineno} in {code.co_name}")


def describe_threads(first_id: int) -> str:
    """The stacks of all threads, as tracebacks.

    Args:
        first_id: of the thread to begin with. If that is another one, the calling thread is left out.
    """
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    own_id = threading.get_ident()
    frames = {key: frame for key, frame in sys._current_frames().items() if key != own_id or key == first_id}
    ordered = sorted(frames.items(), key=lambda item: item[0] != first_id)
    lines = []
    for thread_id, frame in ordered[:THREADS_MAX_COUNT]:
        name = escape_text(names.get(thread_id, "unknown to Python"))
        lines.append(f"Thread {thread_id} ({name}), most recent call last:\n")
        lines += traceback.format_stack(frame)
    if len(ordered) > THREADS_MAX_COUNT:
        lines.append(f"... and {len(ordered) - THREADS_MAX_COUNT} more threads\n")
    return "".join(lines)


def describe_tasks(loop: asyncio.AbstractEventLoop, describe_request: Callable[[asyncio.Task[Any]], str]) -> str:
    """The tasks of an event loop, and what each of them waits for.

    Args:
        loop: perhaps another thread's.
        describe_request: what a task serves; empty: nothing that is known.
    """
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: (len(task.get_name()), task.get_name()))
    lines = [f"Tasks: {len(tasks)}\n"]
    for task in tasks[:TASKS_MAX_COUNT]:
        words = [describe_task(task), describe_request(task)]
        frame = _waiting_frame(task.get_coro())
        if frame is not None:
            words.append(f"at {place(frame)}")
        lines.append(f"  {', '.join(filter(None, words))}\n")
    if len(tasks) > TASKS_MAX_COUNT:
        lines.append(f"  ... and {len(tasks) - TASKS_MAX_COUNT} more\n")
    return "".join(lines)


def describe_task(task: asyncio.Task[Any]) -> str:
    """``task NAME of COROUTINE``."""
    coroutine = getattr(task.get_coro(), "__qualname__", None)
    return escape_text(f"task {task.get_name()}" + (f" of {coroutine}" if coroutine else ""))


def describe_request(request: InProgress, now: float) -> str:
    """``GET /path from 127.0.0.1:5000, for 1.0 s``."""
    method = "WebSocket" if request.kind == "websocket" else escape_text(request.method)
    words = f"{method} {escape_path(request.path)}"
    if request.client is not None:
        words += escape_text(f" from {request.client[0]}:{request.client[1]}")
    if request.started_at is not None:
        words += f", for {now - request.started_at:.1f} s"
    return words


def _waiting_frame(coroutine: Any) -> FrameType | None:
    """The innermost frame of a coroutine and of what it awaits."""
    found: FrameType | None = None
    seen = 0
    # A bound, because this is a chain of other people's objects.
    while coroutine is not None and seen < 1000:
        for prefix in ("cr", "gi", "ag"):
            frame = getattr(coroutine, f"{prefix}_frame", None)
            if isinstance(frame, FrameType):
                found = frame
        coroutine = (
            getattr(coroutine, "cr_await", None)
            or getattr(coroutine, "gi_yieldfrom", None)
            or getattr(coroutine, "ag_await", None)
        )
        seen += 1
    return found


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _kind(filename: str) -> int:
    if filename.startswith(_OWN):
        return _APPLICATION if filename.startswith(_EXAMPLES) else _MACHINERY
    if any(part in filename for part in _PACKAGES):
        return _LIBRARY
    return _MACHINERY if filename.startswith((_STANDARD_LIBRARY, "<frozen ")) else _APPLICATION


def _short(filename: str) -> str:
    """A path as one would say it: from the packages' directory, or from the one that this process runs in."""
    for part in _PACKAGES:
        if part in filename:
            return filename.rpartition(part)[2]
    if filename.startswith(_STANDARD_LIBRARY):
        return filename[len(_STANDARD_LIBRARY) :]
    try:
        here = os.getcwd() + os.sep
    except OSError:
        return filename
    return filename[len(here) :] if filename.startswith(here) else filename
