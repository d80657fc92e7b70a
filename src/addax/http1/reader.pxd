"""Types of ``reader.py`` for the compiler. The file itself stays plain Python."""

cimport cython

from addax.http1.chunked cimport ChunkedDecoder
from addax.http1.grammar cimport HeadScanner
from addax.http1.parser cimport Parser, ParserHandler

cdef object _HALF_OF_ALL
cdef int _HEAD
cdef int _LENGTH
cdef int _CHUNKED
cdef int _ENDED
cdef long long _CHUNKED_BODY
cdef long long _UPGRADED


@cython.final
cdef class LastHead:
    cdef bytes data
    cdef bytes lines
    cdef object method
    cdef bytes target
    cdef list headers
    cdef tuple meaning


cdef class StrictParser(Parser):
    cdef ParserHandler _handler
    cdef object _settings
    cdef object _buffer
    cdef Py_ssize_t _start
    cdef HeadScanner _scanner
    cdef ChunkedDecoder _chunked
    cdef LastHead _last
    # A Content-Length has up to 18 digits, on a machine of 32 bits too.
    cdef long long _remaining
    cdef Py_ssize_t _quick_max_bytes
    cdef int _state
    cdef bint _leading_line_skipped

    cdef _begin(self, ParserHandler handler, object settings)
    cpdef list cut(self, bytes head)
    cdef _hold(self, bytes data)

    cdef _feed_head(self, bytes data, Py_ssize_t start)
    @cython.locals(end=Py_ssize_t, head=bytes, headers=list, last_headers=list, meaning=tuple, target=bytes)
    cdef bint _take_head(self, bytes data, Py_ssize_t start, Py_ssize_t limit) except -1
    @cython.locals(last=LastHead, parts=list, target=bytes)
    cdef bint _feed_repeated(self, bytes data) except -1
    @cython.locals(end=Py_ssize_t)
    cdef _feed_partial_head(self, bytes data, Py_ssize_t start)
    @cython.locals(meaning=tuple, framing="long long")
    cdef tuple _head_taken(
        self, str method, bytes target, int minor, list headers, tuple known, bytes data, Py_ssize_t end
    )
    cdef _keep_back(self, bytes data, Py_ssize_t end)
    cpdef head_with_body(self)

    cdef ChunkedDecoder _new_decoder(self)
    cdef bytes _piece(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    @cython.locals(available=Py_ssize_t, remaining="long long", end=Py_ssize_t)
    cdef _feed_length(self, bytes data, Py_ssize_t start)
    @cython.locals(end=Py_ssize_t)
    cdef _feed_chunked(self, bytes data, Py_ssize_t start)
    cdef _end(self, bytes data, Py_ssize_t end)
