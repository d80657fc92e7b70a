"""Who wants to know what a supervisor of workers does, and has no part in it. ``supervisor`` calls it."""

from __future__ import annotations


class Witness:
    """Is told what happens, in the supervisor's loop. All do nothing here."""

    def restart_begins(self) -> None:
        """A rolling restart begins, or begins again."""

    def restart_ends(self, text: str, has_failed: bool) -> None:
        """It is complete, or was given up and the old workers go on.

        Args:
            text: how it ended, in a sentence.
            has_failed: which of both.
        """

    def stop_begins(self) -> None:
        """All workers are told to end, and no others will be started."""
