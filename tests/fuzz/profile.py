"""How many examples a target gets, and whether they are the same each time."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings

#: Of each target; the numbers in the files count without it.
EXAMPLES_VARIABLE = "ADDAX_FUZZ_EXAMPLES"


def fuzz(examples: int) -> Callable[[Any], Any]:
    """Settings of one target.

    Args:
        examples: how many inputs it gets in the suite, always the same ones. The environment variable
            ``ADDAX_FUZZ_EXAMPLES`` takes its place, and then they are new each time.
    """
    wanted = os.environ.get(EXAMPLES_VARIABLE)
    return settings(
        max_examples=int(wanted) if wanted else examples,
        derandomize=not wanted,
        # Nothing here measures time, and a busy machine is no finding.
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        # What was found is to become a test, not a file that only one machine has.
        database=None,
        print_blob=bool(wanted),
    )
