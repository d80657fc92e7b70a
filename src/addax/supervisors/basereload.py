"""``addax.supervisors.BaseReload`` under uvicorn's path."""

from __future__ import annotations

from addax.supervisors import BaseReload

__all__ = ["BaseReload"]
