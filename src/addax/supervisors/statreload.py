"""``addax.supervisors.ChangeReload`` under the path of uvicorn's reloader that looks at modification times."""

from __future__ import annotations

from addax.supervisors import ChangeReload as StatReload

__all__ = ["StatReload"]
