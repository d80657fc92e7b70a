"""Take the signals that end a server, give them back afterwards, and let them do then what they would have done.

Called by ``Server.capture_signals``. It uses ``signal.signal`` and not ``loop.add_signal_handler``: only so can the
handlers that were there before be put back, and it works on every platform and loop.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

#: Signals that stop a server gracefully, wherever it runs.
HANDLED_SIGNALS: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
if sys.platform == "win32":
    HANDLED_SIGNALS += (signal.SIGBREAK,)

Handler = Callable[[int, FrameType | None], Any]
#: Called with a SIGHUP; returns whether it was meant for that.
TakeHangup = Callable[[], bool]


def signals_to_capture() -> list[signal.Signals]:
    """List what is to be taken now: HANDLED_SIGNALS, and SIGHUP if nobody has decided about it.

    A terminal that is closed sends SIGHUP; unhandled it kills the process with requests in progress. But ``nohup`` sets
    it to be ignored, and an application may use it for something else: both stay as they are.
    """
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is signal.SIG_DFL:
        return [*HANDLED_SIGNALS, hangup]
    return list(HANDLED_SIGNALS)


@contextlib.contextmanager
def capture(handler: Handler, captured: list[int], take_hangup: TakeHangup | None = None) -> Iterator[None]:
    """Send the signals to ``handler``; at the end put the old handlers back and raise what was captured, latest first.

    Raised again under the old handlers a signal has its usual effect: the process ends with the status that its parent
    expects (143 after SIGTERM), or an embedding program's own handler runs. Outside the main thread, where Python takes
    no signals, this does nothing.

    Args:
        handler: called in the main thread, between two instructions of whatever runs there.
        captured: what the handler has noted; emptied at the end.
        take_hangup: asked first, with each SIGHUP that was left to us; None: it stops a server like the others.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    hangup = getattr(signal, "SIGHUP", None)

    def hang_up(number: int, frame: FrameType | None) -> None:
        if take_hangup is None or not take_hangup():
            handler(number, frame)

    previous = {
        number: signal.signal(number, hang_up if number == hangup and take_hangup is not None else handler)
        for number in signals_to_capture()
    }
    try:
        yield
    finally:
        for number, old in previous.items():
            # None stands for a handler that was not set from Python; it cannot be put back.
            signal.signal(number, signal.SIG_DFL if old is None else old)
        pending, captured[:] = captured[::-1], []
        for raised in pending:
            signal.raise_signal(raised)
