"""The numbers of ``machine.py``, in a module of their own: compiled modules keep C copies of them.

The table in ``machine.py`` says what each means.
"""

from __future__ import annotations

READ_IDLE = 0
READ_BODY = 1
READ_DONE = 2
READ_CLOSED = 3

WRITE_IDLE = 0
WRITE_BODY = 1
WRITE_DONE = 2
WRITE_CLOSED = 3
