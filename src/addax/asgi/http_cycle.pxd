cimport cython

from addax.asgi.exchange cimport HttpExchange
from addax.asgi.ready cimport Received, Sent
from addax.asgi.sinks cimport ResponseSink

cdef int EXPECT_START, EXPECT_BODY, EXPECT_TRAILERS, ENDED
cdef int BODY_ARRIVING, BODY_COMPLETE, BODY_DELIVERED
cdef object SENT, _MISSING
cdef int CLIENT_THERE, CLIENT_LEAVING, CLIENT_GONE


@cython.final
@cython.freelist(64)
cdef class HttpCycle:
    cdef public dict scope
    cdef ResponseSink _sink
    cdef public HttpExchange exchange
    cdef public int phase
    cdef bint _has_trailers
    cdef list _body
    cdef public Py_ssize_t body_size
    cdef int _body_state
    cdef int _client
    cdef list _waiters
    cdef public bint is_returned
    cdef public int slot
    cdef public object task

    cpdef body_arrived(self, bytes chunk)
    cpdef body_ended(self)
    cpdef disconnected(self, str outcome)
    cpdef answered_by_server(self, int status, Py_ssize_t body_size)
    cpdef notify(self)
    cpdef bint is_started(self)
    cpdef bint is_notified(self)
    cpdef bint is_client_gone(self)
    cpdef end(self, str outcome)
    @cython.locals(fields=dict, data=bytes, has_trailers=bint)
    cpdef send(self, object message)
    cdef bint _has_message(self)
    @cython.locals(has_body=bint, is_complete=bint, body=bytes, chunks=list)
    cdef dict _next_message(self)
    cdef _wake(self)
    cdef _send_more(self, bytes data, dict message)
    cdef _send_rare(self, object kind, dict message)
    cdef _send_trailers(self, dict message)
