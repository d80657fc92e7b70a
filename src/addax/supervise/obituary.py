"""Why a worker ended, and what it was doing then, in one sentence."""

from __future__ import annotations

from addax.supervise.child import Child
from addax.supervise.forensics import explain

#: How many of the requests that died with a worker are named.
_NAMED_COUNT = 5


def describe_end(child: Child, is_out_of_memory: bool) -> str:
    """Say it, beginning with a verb.

    Args:
        child: that is gone, or could not be made.
        is_out_of_memory: whether the kernel has killed for memory in this control group since the last time.
    """
    if child.code is None:
        return child.failure or "could not be made"
    text = explain(child.code, is_out_of_memory, child.is_killed)
    if child.failure:
        # It may be a whole traceback, which was logged where it was found.
        text += f" ({child.failure.splitlines()[0]})"
    requests = child.last_requests
    if requests:
        named = ", ".join(str(request) for request in requests[:_NAMED_COUNT])
        more = f" and {len(requests) - _NAMED_COUNT} more" if len(requests) > _NAMED_COUNT else ""
        text += f", while it served {named}{more}"
    return text
