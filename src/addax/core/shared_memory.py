"""Memory that several processes share, as a descriptor that is handed from one to another.

No name in a file system is left behind by it, whoever dies.
"""

from __future__ import annotations

import os
import tempfile


def create_shared_memory(name: str, size_bytes: int) -> int:
    """Make zeroed memory.

    Args:
        name: shown by the system in listings of a process's files.
        size_bytes: of it.

    Returns:
        A descriptor for ``mmap``, not inherited by other programs.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create(name, os.MFD_CLOEXEC)
    else:
        fd, path = tempfile.mkstemp(prefix=name)
        os.unlink(path)
    os.ftruncate(fd, size_bytes)
    return fd
