cimport cython

cdef int _DATE_OR_SERVER_BITS, _DATE_BIT, _SERVER_BIT


@cython.final
cdef class DefaultFields:
    cdef bytes _extra
    cdef bint _has_date
    cdef public double until
    cdef public int last_status
    cdef public bytes last_start
    cdef bytes _server
    cdef dict _starts

    cpdef bytes lines(self, int special=*)
    @cython.locals(start=bytes)
    cpdef bytes start(self, int status, int special, double now)


cpdef int choose_framing(int status, str method, int minor, long long content_length)
