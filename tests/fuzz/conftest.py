"""What all targets share."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of refused requests and failing applications are no news."""
    caplog.set_level(logging.CRITICAL, "addax")
    caplog.set_level(logging.CRITICAL, "addax.error")
