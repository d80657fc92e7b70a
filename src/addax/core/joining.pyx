"""``join`` of ``pieces.py`` where it is compiled: what it gets is known to be bytes, and is copied without a question."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memcpy

cdef extern from "Python.h":
    # Borrowed: the tuple keeps them.
    PyObject *PyTuple_GET_ITEM(tuple pieces, Py_ssize_t index)


def join(tuple pieces not None):
    """The pieces of a tuple as one bytes object.

    Raises:
        TypeError: one of them is not bytes.
    """
    cdef object joined
    cdef PyObject *piece
    cdef Py_ssize_t index
    cdef Py_ssize_t size = 0
    cdef char *place
    for index in range(len(pieces)):
        piece = PyTuple_GET_ITEM(pieces, index)
        if not PyBytes_CheckExact(<object> piece):
            raise TypeError("only bytes can be joined")
        size += PyBytes_GET_SIZE(<object> piece)
    joined = PyBytes_FromStringAndSize(NULL, size)
    place = PyBytes_AS_STRING(joined)
    for index in range(len(pieces)):
        piece = PyTuple_GET_ITEM(pieces, index)
        size = PyBytes_GET_SIZE(<object> piece)
        memcpy(place, PyBytes_AS_STRING(<object> piece), <size_t> size)
        place += size
    return joined
