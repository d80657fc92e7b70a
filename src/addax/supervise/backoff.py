"""How soon a worker that died is replaced, and when that is given up.

The first death is answered at once: a crash is mostly one request's. Workers that die young, again and again, are
started at growing intervals, and where none lives, the server ends: a broken release is to be seen, not to burn the
machine.
"""

from __future__ import annotations

#: A worker that has served this long has not died young, in seconds.
STABLE_S = 10.0
#: Young deaths of one worker number in a row after which the server ends, if no other worker is stable.
LOOP_COUNT = 5
#: The second wait, in seconds (the first is none), each one after it twice as long, and the longest.
_FIRST_S = 0.25
_LONGEST_S = 30.0


class Backoff:
    """The deaths of one worker number."""

    def __init__(self) -> None:
        self.young_deaths_count = 0
        #: Those among them, in a row, that no request can be blamed for.
        self.idle_deaths_count = 0

    @property
    def is_looping(self) -> bool:
        """Whether it has died young too often by itself.

        What a request does to it, a client can do again and again, and is not to end the server.
        """
        return self.idle_deaths_count >= LOOP_COUNT

    def died(self, age_s: float, was_serving: bool = False) -> float:
        """It died.

        Args:
            age_s: how long it had served.
            was_serving: whether it had requests in progress.

        Returns:
            How long to wait for the next one, in seconds.
        """
        if age_s >= STABLE_S:
            self.young_deaths_count = self.idle_deaths_count = 0
            return 0.0
        self.young_deaths_count += 1
        self.idle_deaths_count = 0 if was_serving else self.idle_deaths_count + 1
        exponent = self.young_deaths_count - 2
        return 0.0 if exponent < 0 else min(_LONGEST_S, _FIRST_S * 2.0**exponent)
