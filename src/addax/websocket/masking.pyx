"""The functions of ``mask.py`` where they are compiled: eight bytes at a time, and no object but the result."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* Words go through memcpy, which costs nothing: neither place need be aligned. */
    static void addax_unmask(const char *from, char *to, size_t size, const char *key, size_t offset) {
        unsigned char turned[8];
        uint64_t pattern, word;
        size_t at;
        for (at = 0; at < 8; at++)
            turned[at] = (unsigned char) key[(offset + at) & 3];
        memcpy(&pattern, turned, 8);
        for (at = 0; at + 8 <= size; at += 8) {
            memcpy(&word, from + at, 8);
            word ^= pattern;
            memcpy(to + at, &word, 8);
        }
        for (; at < size; at++)
            to[at] = (char) ((unsigned char) from[at] ^ turned[at & 7]);
    }
    """
    void addax_unmask(const char *data, char *to, size_t size, const char *key, size_t offset) noexcept

cdef enum:
    # Text up to this size is unmasked on the stack.
    STACK_BYTES = 1024


cdef int check(bytes data, Py_ssize_t start, Py_ssize_t end) except -1:
    if start < 0 or start > end or end > PyBytes_GET_SIZE(data):
        raise ValueError("no such piece")
    return 0


cpdef bytes unmask(bytes data, Py_ssize_t start, Py_ssize_t end, bytes key, Py_ssize_t offset):
    """Take the mask off a piece of a frame's payload, see ``mask.py``."""
    cdef bytes plain
    if data is None or key is None:
        raise TypeError("bytes are needed")
    if PyBytes_GET_SIZE(key) != 4:
        raise ValueError("a masking key has four bytes")
    check(data, start, end)
    if offset < 0:
        raise ValueError("no such piece")
    plain = PyBytes_FromStringAndSize(NULL, end - start)
    addax_unmask(
        PyBytes_AS_STRING(data) + start,
        PyBytes_AS_STRING(plain),
        <size_t> (end - start),
        PyBytes_AS_STRING(key),
        <size_t> offset,
    )
    return plain


cpdef bytes unmask_whole(bytes data, Py_ssize_t start, Py_ssize_t end):
    """Take the mask off the whole payload of a frame, see ``mask.py``."""
    cdef bytes plain
    cdef const char *place
    if data is None:
        raise TypeError("bytes are needed")
    check(data, start - 4, end)
    check(data, start, end)
    plain = PyBytes_FromStringAndSize(NULL, end - start)
    place = PyBytes_AS_STRING(data) + start
    addax_unmask(place, PyBytes_AS_STRING(plain), <size_t> (end - start), place - 4, 0)
    return plain


cpdef str decode_whole(bytes data, Py_ssize_t start, Py_ssize_t end):
    """The same for text, see ``mask.py``."""
    cdef char text[STACK_BYTES]
    cdef const char *place
    cdef Py_ssize_t size = end - start
    if data is None:
        raise TypeError("bytes are needed")
    check(data, start - 4, end)
    check(data, start, end)
    if size > STACK_BYTES:
        return unmask_whole(data, start, end).decode()
    place = PyBytes_AS_STRING(data) + start
    addax_unmask(place, text, <size_t> size, place - 4, 0)
    return PyUnicode_DecodeUTF8(text, size, NULL)
