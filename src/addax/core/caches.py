"""What ``headers.py`` remembers, in a module of its own: a compiled module keeps its own names to itself.

Every one has a bound, because a peer or an application can make up what goes in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from addax.core.headers import FieldName

#: Hosts that were found valid: a client sends the same one with every request, and the pattern costs more than a
#: look-up.
valid_hosts: set[bytes] = set()
VALID_HOSTS_MAX = 512
VALID_HOST_MAX_BYTES = 255

#: Names of response fields, as applications spell them.
field_names: dict[bytes, FieldName] = {}
FIELD_NAMES_MAX = 1024
#: How many whole lines they hold together.
known_lines = 0
