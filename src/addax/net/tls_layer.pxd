cimport cython

from addax.core.wire cimport Host


@cython.final
cdef class TlsLayer(Host):
    cdef double _connected_at
    cdef bint _has_peer_closed
    cdef Host _host
    cdef public object _incoming
    cdef public object _inner
    cdef bint _is_deaf
    cdef bint _is_draining
    cdef bint _is_over
    cdef bint _is_partial
    cdef bint _is_write_paused
    cdef object _material
    cdef public object _object
    cdef public object _outgoing
    cdef object _peer
    cdef object _port
    cdef object _read
    cdef object _rest_s
    cdef object _write

    cdef _read_rest(self, list pieces)
    cdef bytes _decrypt(self, bytes data)
    @cython.locals(count=Py_ssize_t)
    cdef _write_all(self, object data)
    cdef _flush(self)
