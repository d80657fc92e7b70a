"""Takes the first file out of a ``multipart/form-data`` body while it streams by. Used by ``showcase``.

Only as much of the body is kept as could be the beginning of a delimiter, so the size of a file does not matter.
Implements the part of RFC 7578 (and RFC 2046 section 5.1.1) that a browser's form with one file needs.
"""

from __future__ import annotations

import re

#: A part's header lines; a browser sends about 150 bytes.
PART_HEAD_MAX_BYTES = 8192

_BOUNDARY = re.compile(r'(?:^|;)\s*boundary=(?:"([^"]{1,70})"|([^\s";,]{1,70}))\s*(?:;|$)', re.IGNORECASE)
_FILE_NAME = re.compile(rb';\s*filename="([^"]*)"', re.IGNORECASE)


class MultipartError(ValueError):
    """The body is not what its Content-Type says; the message can be shown to the client."""


def boundary_of(content_type: str) -> bytes:
    """Read the boundary parameter.

    Args:
        content_type: a Content-Type value that begins with ``multipart/form-data``.

    Raises:
        MultipartError: there is none, or it is longer than 70 characters (RFC 2046 section 5.1.1).
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise MultipartError("multipart/form-data without a usable boundary")
    return (found[1] or found[2]).encode("latin-1")


class FirstFile:
    """Cuts the first part that has a file name out of chunks of a body.

    Args:
        boundary: from ``boundary_of``.
    """

    def __init__(self, boundary: bytes) -> None:
        self.file_name: str | None = None
        #: Whether the delimiter after the file has been seen.
        self.is_complete = False
        self._delimiter = b"\r\n--" + boundary
        # The first delimiter stands at the very beginning of the body, without a line end before it.
        self._kept = b"\r\n"
        self._inside_file = False
        self._inside_part = False

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of the body.

        Returns:
            The bytes of the file among them, perhaps none.

        Raises:
            MultipartError: a part's header lines are too long.
        """
        self._kept += chunk
        found = b""
        while not self.is_complete:
            if not self._inside_part and not self._read_part_head():
                break
            data, ended = self._read_part_data()
            if self._inside_file:
                found += data
            if not ended:
                break
            self._inside_part = False
            self.is_complete = self._inside_file
        if self.is_complete:
            self._kept = b""  # whatever follows the file is of no interest
        return found

    def _read_part_head(self) -> bool:
        """Skip the delimiter and read the header lines after it; False if they are not all there yet."""
        start = self._kept.find(self._delimiter)
        end = self._kept.find(b"\r\n\r\n", start + len(self._delimiter)) if start >= 0 else -1
        if end < 0:
            if len(self._kept) > PART_HEAD_MAX_BYTES:
                raise MultipartError("a part of the form has no end to its header lines")
            return False
        head = self._kept[start:end]
        self._kept = self._kept[end + 4 :]
        name = _FILE_NAME.search(head)
        self._inside_file = name is not None
        if name is not None:
            self.file_name = name[1].decode("utf-8", "replace")
        self._inside_part = True
        return True

    def _read_part_data(self) -> tuple[bytes, bool]:
        """Everything up to the next delimiter, and whether that delimiter was there."""
        end = self._kept.find(self._delimiter)
        if end >= 0:
            data, self._kept = self._kept[:end], self._kept[end:]
            return data, True
        safe = max(0, len(self._kept) - len(self._delimiter) + 1)
        data, self._kept = self._kept[:safe], self._kept[safe:]
        return data, False
