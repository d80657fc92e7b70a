"""What a supervisor notes of each worker number, and of a restart: kept by ``supervisor``, which decides."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from addax.supervise.backoff import Backoff
from addax.supervise.child import Child
from addax.supervise.spawning import Spawner


class Slot:
    """A worker number: who serves under it, and who is going to."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.current: Child | None = None
        self.replacement: Child | None = None
        #: Why the current one is to be replaced.
        self.reason: str | None = None
        self.is_spawning = False
        self.backoff = Backoff()
        #: Nothing is started before this, ``time.monotonic``.
        self.not_before = 0.0

    @property
    def children(self) -> list[Child]:
        """Both."""
        return [child for child in (self.current, self.replacement) if child is not None]


@dataclass
class Restart:
    """A rolling restart in progress."""

    began_at: float
    #: Of the workers that are wanted.
    generation: int
    #: What started the workers before, and their generation; back in their place if the restart fails.
    old_spawner: Spawner
    old_generation: int
    #: The fork server of this generation is being made; None: there is none.
    preparing: asyncio.Task[None] | None = None
    is_prepared: bool = False
    replaced_count: int = 0
