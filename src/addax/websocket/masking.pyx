"""The functions of ``mask.py`` where they are compiled: whole words at a time, and no object but the result."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* Words go through memcpy, which costs nothing: neither place need be aligned. */
    static inline void addax_unmask(const char *from, char *to, size_t size, const char *key, size_t offset) {
        unsigned char repeated[12];
        uint64_t pattern, words[4];
        uint32_t word, half;
        memcpy(repeated, key, 4);
        memcpy(repeated + 4, repeated, 4);
        memcpy(repeated + 8, repeated, 4);
        /* From here on the key is turned, so that it begins where the piece does. */
        memcpy(&pattern, repeated + (offset & 3), 8);
        for (; size >= 32; size -= 32, from += 32, to += 32) {
            memcpy(words, from, 32);
            words[0] ^= pattern;
            words[1] ^= pattern;
            words[2] ^= pattern;
            words[3] ^= pattern;
            memcpy(to, words, 32);
        }
        for (; size >= 8; size -= 8, from += 8, to += 8) {
            memcpy(words, from, 8);
            words[0] ^= pattern;
            memcpy(to, words, 8);
        }
        memcpy(repeated, &pattern, 4);
        if (size >= 4) {
            memcpy(&word, from, 4);
            memcpy(&half, repeated, 4);
            word ^= half;
            memcpy(to, &word, 4);
            size -= 4, from += 4, to += 4;
        }
        for (offset = 0; offset < size; offset++)
            to[offset] = (char) ((unsigned char) from[offset] ^ repeated[offset]);
    }
    """
    void addax_unmask(const char *data, char *to, size_t size, const char *key, size_t offset) noexcept

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(str text)
    Py_ssize_t PyUnicode_GET_LENGTH(str text)
    const char *PyUnicode_DATA(str text)

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


cdef bytes put_together(int first, const char *payload, Py_ssize_t size):
    cdef Py_ssize_t header_size
    cdef char *place
    cdef bytes frame
    if size > 0xFFFF:
        raise ValueError("too long for one piece")
    header_size = 2 if size < 126 else 4
    frame = PyBytes_FromStringAndSize(NULL, header_size + size)
    place = PyBytes_AS_STRING(frame)
    place[0] = <char> first
    if header_size == 2:
        place[1] = <char> size
    else:
        place[1] = 126
        place[2] = <char> (size >> 8)
        place[3] = <char> (size & 0xFF)
    memcpy(place + header_size, payload, <size_t> size)
    return frame


cpdef bytes make_frame(int first, bytes payload):
    """A frame for a client, see ``mask.py``."""
    if payload is None:
        raise TypeError("bytes are needed")
    return put_together(first, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))


cpdef bytes make_text_frame(int first, str text):
    """The same with text, see ``mask.py``."""
    if text is None:
        raise TypeError("a str is needed")
    if PyUnicode_IS_COMPACT_ASCII(text):
        return put_together(first, PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))
    return make_frame(first, text.encode())
