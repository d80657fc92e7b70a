"""Types of ``assembly.py`` for the compiler. The file itself stays plain Python."""

cimport cython

cdef Py_ssize_t _GATHERED_BYTES


@cython.final
cdef class Assembly:
    cdef readonly bint is_text
    cdef readonly bint is_deflated
    cdef readonly Py_ssize_t size_bytes
    cdef list _pieces
    cdef bytearray _gathered
    cdef bytes _begun

    @cython.locals(size=Py_ssize_t)
    cpdef add(self, bytes piece)
    @cython.locals(consumed=Py_ssize_t, begun=bytes)
    cdef _check(self, bytes piece)
    cpdef bytes data(self)
    cpdef str text(self)
