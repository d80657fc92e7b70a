"""Types of ``chunked.py`` for the compiler. The file itself stays plain Python."""

cimport cython

from addax.http1.parser cimport ParserHandler

cdef int _SIZE
cdef int _DATA
cdef int _DATA_END
cdef int _TRAILERS
cdef int _SIZE_MAX_DIGITS


cdef class ChunkedDecoder:
    cdef ParserHandler _handler
    cdef object _settings
    cdef object _line
    # A size has up to 16 hexadecimal digits.
    cdef unsigned long long _remaining
    cdef Py_ssize_t _extension_bytes
    cdef Py_ssize_t _trailer_bytes
    cdef Py_ssize_t _trailer_count
    cdef int _state

    @cython.locals(size=Py_ssize_t, end=Py_ssize_t, available="unsigned long long")
    cpdef Py_ssize_t feed(self, bytes data, Py_ssize_t position=*) except? -2
    cdef bytes _piece(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    @cython.locals(
        end=Py_ssize_t, stop=Py_ssize_t, byte="unsigned char", digit="unsigned char", size="unsigned long long"
    )
    cdef Py_ssize_t _take_short_line(self, bytes data, Py_ssize_t position) except? -1
    @cython.locals(newline=Py_ssize_t, end=Py_ssize_t, length=Py_ssize_t, line=bytes)
    cdef Py_ssize_t _take_line(self, bytes data, Py_ssize_t position) except? -1
    cdef _take_size(self, bytes line)
    cdef _take_trailer(self, bytes line)
