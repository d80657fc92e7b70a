cimport cython

from addax.asgi.service cimport Service
from addax.core.wire cimport Host, Peer
from addax.net.timers cimport Wheel

cdef double NEVER
cdef dict _servers
cdef object _GONE


@cython.final
cdef class Stream(Host):
    cdef object _connection
    cdef bint _has_peer_ended
    cdef bint _is_closing
    cdef bint _is_reading_paused
    cdef public double _linger_until
    cdef Service _service
    cdef object _transport
    cdef Wheel _wheel
    cdef public object data_received
    cdef public double deadline
    cdef public double looked_at

    cdef _watch(self, double when)
    cdef _stop_writing(self)


@cython.locals(client=tuple)
cdef Peer _peer(object transport)
cdef tuple _pair(tuple address)
cdef tuple _remember(tuple own)
