cimport cython

cdef object now
cdef list _NO_FIELDS


@cython.final
@cython.freelist(64)
cdef class HttpExchange:
    cdef public dict scope
    cdef public int status
    cdef public list response_headers
    cdef public long long bytes_sent
    cdef public long long bytes_received
    cdef public double started_at
    cdef public double first_byte_at
    cdef public double ended_at
    cdef public str outcome

    cpdef note_sent(self, Py_ssize_t count)


cdef class ExchangeLog:
    cpdef record(self, HttpExchange exchange)
