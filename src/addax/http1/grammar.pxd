"""Types of ``grammar.py`` for the compiler. The file itself stays plain Python."""

cimport cython


@cython.final
cdef class RequestLine:
    cdef readonly str method
    cdef readonly bytes target
    cdef readonly int minor


@cython.final
cdef class HeadScanner:
    cdef object _settings
    cdef Py_ssize_t _line_start
    cdef Py_ssize_t _scanned
    cdef Py_ssize_t _field_count
    cdef bint _in_fields

    @cython.locals(newline=Py_ssize_t, line=bytes)
    cpdef Py_ssize_t scan(self, buffer) except? -2
    @cython.locals(stop=Py_ssize_t)
    cdef _check_bytes(self, buffer, Py_ssize_t end)
    cdef _check_field(self, bytes line)
