"""Public names for importing by a string, under the name that uvicorn has for them: ``addax.importer.…``."""

from __future__ import annotations

from addax.config.load_app import ImportFromStringError, import_from_string

__all__ = ["ImportFromStringError", "import_from_string"]
