cimport cython

from addax.asgi.service cimport Service
from addax.core.wire cimport Host

cdef double NEVER


@cython.final
cdef class Stream(Host):
    cdef object _connection
    cdef bint _has_peer_ended
    cdef bint _is_closing
    cdef bint _is_reading_paused
    cdef public double _linger_until
    cdef Service _service
    cdef object _transport
    cdef object _wheel
    cdef public object data_received
    cdef public double deadline
    cdef public double looked_at

    cdef _stop_writing(self)
