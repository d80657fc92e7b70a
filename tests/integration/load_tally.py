"""Numbered requests, and what becomes of each as its client sees it; for ``load_clients`` and ``load_generator``.

What becomes of a request, as its client sees it:

========== ============================================================================================================
answered   the whole answer came, with status 200, and it is the answer to this request
refused    no connection could be made
reset      the connection ended without a byte of an answer
cut short  a part of an answer came
crossed    a whole answer came, but not to this request
status     the status was another one than 200
malformed  what came is not HTTP
timeout    nothing came of it within the bound
unaccepted a new connection, made after the test had said that the server ends, was refused or ended without an answer
========== ============================================================================================================

Only "answered" and "unaccepted" are no failures. No client sends a request twice, and a client with a kept connection
uses it again so soon that the server has no reason to close it: an end of such a connection is a failure, too.
"""

from __future__ import annotations

import asyncio
import errno
import http.client
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import httpx

from addax import testing

#: How much of a wrong answer is kept.
EXCERPT_BYTES = 200
#: How many failures are kept in full; all are counted.
FAILURES_MAX_COUNT = 5000


#: What clients raise when they cannot make sense of what came; of some it is a ConnectionError when nothing did.
_NOT_HTTP = (testing.MalformedResponse, ValueError, http.client.BadStatusLine, aiohttp.ClientResponseError)


class WrongAnswer(Exception):
    """An answer came to its end and is not right.

    Args:
        outcome: as in the table above.
        text: what is wrong.
    """

    def __init__(self, outcome: str, text: str) -> None:
        super().__init__(text)
        self.outcome = outcome


@dataclass(frozen=True)
class Request:
    """One request with the answer it must get."""

    method: str
    target: str
    body: bytes
    answer: bytes


@dataclass
class Connection:
    """What a client knows of its connection.

    Attributes:
        made_at: when connecting began, ``time.monotonic``.
        local_port: this end's.
        requests_count: how many requests were sent, the present one included.
        used_at: when the last answer was whole; None: there was none.
        pid: of the process that has answered here; None: none has.
    """

    made_at: float
    local_port: int = 0
    requests_count: int = 0
    used_at: float | None = None
    pid: int | None = None


@dataclass
class Attempt:
    """A request in progress.

    Attributes:
        client: its kind.
        request: what is asked.
        began_at: ``time.monotonic``.
        connection: that carries it; None: there is none yet.
        received_bytes: of the answer; libraries tell of its body only, and a head counts as one byte then.
    """

    client: str
    request: Request
    began_at: float
    connection: Connection | None = None
    received_bytes: int = 0

    def use(self, connection: Connection) -> None:
        """It is sent on this connection."""
        connection.requests_count += 1
        self.connection = connection

    def take_pid(self, pid: str | bytes | None) -> None:
        """The answer says which process makes it."""
        if self.connection is not None and pid is not None:
            self.connection.pid = int(pid)


@dataclass(frozen=True)
class Failure:
    """A request that was not answered as it should be.

    Attributes:
        outcome: as in the table above.
        client: kind of client.
        request: method and target.
        connection_request_number: the how manieth on its connection, from 1; 0: there was no connection.
        idle_s: how long the connection had not been in use; None: it was new.
        error: what the client saw.
        received_bytes: of the answer.
        pid: of the process at the other end, as far as it has ever said so on this connection.
        connected_at: when connecting began; ``time.monotonic``, which all processes of a machine share.
        began_at: when the request began.
        ended_at: when it had failed.
        local_port: of the connection.
    """

    outcome: str
    client: str
    request: str
    connection_request_number: int
    idle_s: float | None
    error: str
    received_bytes: int
    pid: int | None
    connected_at: float | None
    began_at: float
    ended_at: float
    local_port: int

    @classmethod
    def of(cls, attempt: Attempt, outcome: str, error: BaseException) -> Failure:
        """Make it of what is known."""
        connection = attempt.connection or Connection(attempt.began_at)
        return cls(
            outcome=outcome,
            client=attempt.client,
            request=f"{attempt.request.method} {attempt.request.target}",
            connection_request_number=connection.requests_count,
            idle_s=None if connection.used_at is None else attempt.began_at - connection.used_at,
            error=f"{type(error).__name__}: {error}"[:500],
            received_bytes=attempt.received_bytes,
            pid=connection.pid,
            connected_at=None if attempt.connection is None else connection.made_at,
            began_at=attempt.began_at,
            ended_at=time.monotonic(),
            local_port=connection.local_port,
        )

    def __str__(self) -> str:
        idle = "new" if self.idle_s is None else f"idle for {self.idle_s * 1000:.0f} ms"
        return (
            f"{self.outcome}: {self.client}, {self.request}, request {self.connection_request_number} of its "
            f"connection ({idle}, port {self.local_port}), process {self.pid or 'unknown'}, "
            f"{self.received_bytes} bytes in {self.ended_at - self.began_at:.3f} s, "
            f"at {self.ended_at:.3f}: {self.error}"
        )


@dataclass
class Tally:
    """What became of all requests, and how long to go on.

    Attributes:
        count_max: so many requests, and no more.
        end_at: no request begins later, ``time.monotonic``.
        on_change: called after each request.
        stopping: set when no request is to begin any more.
        ending_at: since when the server ends; None: it does not.
    """

    count_max: int
    end_at: float
    on_change: Callable[[], None] = lambda: None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    ending_at: float | None = None
    outcomes: Counter[str] = field(default_factory=Counter)
    by_client: Counter[str] = field(default_factory=Counter)
    pids: Counter[int] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    longest_s: float = 0.0
    begun_count: int = 0

    @property
    def total(self) -> int:
        """All requests that have come to an end."""
        return self.outcomes.total()

    @property
    def is_over(self) -> bool:
        """Whether no request is to begin any more."""
        return self.stopping.is_set() or self.begun_count >= self.count_max or time.monotonic() >= self.end_at

    def answered(self, attempt: Attempt) -> None:
        """It was right."""
        self._count("answered", attempt)
        self.longest_s = max(self.longest_s, time.monotonic() - attempt.began_at)
        if attempt.connection is not None and attempt.connection.pid is not None:
            self.pids[attempt.connection.pid] += 1

    def failed(self, attempt: Attempt, error: BaseException) -> str:
        """It was not.

        Returns:
            The outcome.
        """
        outcome = judge(attempt, error)
        if self._is_unaccepted(attempt, outcome, error):
            outcome = "unaccepted"
        elif len(self.failures) < FAILURES_MAX_COUNT:
            self.failures.append(Failure.of(attempt, outcome, error))
        self._count(outcome, attempt)
        return outcome

    def _is_unaccepted(self, attempt: Attempt, outcome: str, error: BaseException) -> bool:
        if self.ending_at is None or outcome not in ("refused", "reset"):
            return False
        if _is_refused_by_kernel(error):
            # In the very moment in which it knocks, whenever the request began: a busy machine takes its time.
            return True
        connection = attempt.connection or Connection(attempt.began_at)
        return connection.used_at is None and connection.made_at >= self.ending_at

    def _count(self, outcome: str, attempt: Attempt) -> None:
        self.outcomes[outcome] += 1
        self.by_client[attempt.client] += 1
        self.on_change()


def _is_refused_by_kernel(error: BaseException | None) -> bool:
    """Whether nobody listened; libraries wrap that in errors of their own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.ECONNREFUSED:
            return True
        error = error.__cause__ or error.__context__
    return False


def judge(attempt: Attempt, error: BaseException) -> str:
    """Which row of the table an error belongs to; it depends on how far the request had come."""
    if isinstance(error, WrongAnswer):
        return error.outcome
    if isinstance(error, (asyncio.TimeoutError, TimeoutError, httpx.TimeoutException)):
        return "timeout"
    if attempt.connection is None:
        return "refused"
    if isinstance(error, httpx.RemoteProtocolError):
        # One class for what is not HTTP and for an end that comes too early.
        is_not_http = not re.search("disconnected|closed connection", str(error))
    else:
        is_not_http = isinstance(error, _NOT_HTTP) and not isinstance(error, ConnectionError)
    if is_not_http:
        return "malformed"
    return "cut short" if attempt.received_bytes else "reset"


def make_request(dice: random.Random, number: int) -> Request:
    """A request of a random kind that no other one is like: of twenty, two are slow and two are answered in chunks."""
    body = b""
    method = "GET"
    if dice.randrange(4) == 0:
        method, body = "POST", b"%d;" % number * dice.randrange(1, 300)
    kind = dice.randrange(20)
    if kind < 2:
        parts = b"".join(b"%d part %d\n" % (number, part) for part in range(3))
        return Request(method, f"/stream?n={number}", body, parts + body)
    path = f"/sleep?s={dice.uniform(0.1, 0.3):.2f}&n=" if kind < 4 else "/?n="
    return Request(method, f"{path}{number}", body, b"%d " % number + body)
