"""The numbers of ``machine.py``, in a module of their own: compiled modules keep C copies of them.

The table in ``machine.py`` says what each means.
"""

from __future__ import annotations

OPEN = 0
WE_CLOSED = 1
PEER_CLOSED = 2
FINISHED = 3
