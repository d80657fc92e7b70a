"""``addax.supervisors.ChangeReload`` under the path of uvicorn's reloader that uses ``watchfiles``."""

from __future__ import annotations

from addax.supervisors import ChangeReload as WatchFilesReload

__all__ = ["WatchFilesReload"]
