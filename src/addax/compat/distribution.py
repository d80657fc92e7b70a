"""What ``importlib.metadata`` says about uvicorn while the stand-in is installed.

A module of its own because ``importlib.metadata`` takes long to import, and is there already when this is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path

from addax.compat.finder import UVICORN_VERSION

_TEXTS = {
    "METADATA": (
        "Metadata-Version: 2.1\n"
        "Name: uvicorn\n"
        f"Version: {UVICORN_VERSION}\n"
        "Summary: addax, standing in for uvicorn (addax.compat).\n"
    ),
    "top_level.txt": "uvicorn\n",
}


class StandInDistribution(Distribution):
    """A distribution ``uvicorn`` without files."""

    def read_text(self, filename: str) -> str | None:
        """The metadata files that there are; None for others."""
        return _TEXTS.get(filename)

    def locate_file(self, path: str | os.PathLike[str]) -> Path:
        """Where a file of it would be."""
        return Path(__file__).parents[2] / path


def find_distributions(context: DistributionFinder.Context | None = None) -> Iterable[Distribution]:
    """Answer for uvicorn in the running interpreter; installers, which ask about a directory, get nothing."""
    if context is None:
        return [StandInDistribution()]
    is_wanted = context.name is None or context.name.lower() == "uvicorn"
    return [StandInDistribution()] if is_wanted and "path" not in vars(context) else []
