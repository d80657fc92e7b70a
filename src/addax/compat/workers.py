"""addax's gunicorn workers under the names of uvicorn's: ``gunicorn -k uvicorn.workers.UvicornWorker``."""

from __future__ import annotations

from addax.workers import AddaxH11Worker as UvicornH11Worker
from addax.workers import AddaxWorker as UvicornWorker

__all__ = ["UvicornH11Worker", "UvicornWorker"]
