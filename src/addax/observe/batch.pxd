cimport cython


@cython.final
cdef class BatchWriter:
    cdef object _handler
    cdef list _lines
    cdef Py_ssize_t _size
    cdef Py_ssize_t _size_max
    cdef bytes _rest
    cdef Py_ssize_t _rest_start
    cdef bint _is_writing
    cdef bint _has_failed
    cdef object _stream
    cdef int _descriptor
    cdef str _encoding
    cdef str _errors
    cdef Py_ssize_t _piece_max

    cpdef add(self, str line)
    cpdef flush(self)
    cdef _write_waiting(self)
    cdef _write(self, str text)
    @cython.locals(rest=bytes, start=Py_ssize_t, end=Py_ssize_t)
    cdef _write_piece(self)
    cdef _drop_rest(self)
