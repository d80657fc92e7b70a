"""``addax.supervisors.Multiprocess`` under uvicorn's path."""

from __future__ import annotations

from addax.supervisors import Multiprocess

__all__ = ["Multiprocess"]
