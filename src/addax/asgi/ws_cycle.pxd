"""Types of ``ws_cycle.py`` for the compiler."""

cimport cython

from addax.asgi.http_cycle cimport HttpCycle
from addax.asgi.ready cimport Received, Receiver, Waiting
from addax.asgi.sinks cimport ResponseSink, WebSocketSink

cdef int CLOSING, CONNECTING, DENYING, ENDED, OPEN, WS_ENDED
cdef object SENT
cdef int _NORMAL, _ABNORMAL, _NO_STATUS, _SERVICE_RESTART
cdef frozenset _SENDABLE_CODES


@cython.final
cdef class WebSocketCycle(Receiver):
    cdef public dict scope
    cdef HttpCycle _http
    cdef ResponseSink _sink
    cdef WebSocketSink _socket
    cdef public int phase
    cdef bint _is_announced
    cdef bint _is_client_gone
    cdef list _queue
    cdef public Py_ssize_t queued_bytes
    cdef public bint is_full
    cdef tuple _close
    cdef public int shutdown_code
    cdef public bint is_returned
    cdef public int slot
    cdef public object task

    cpdef message_arrived(self, dict message, Py_ssize_t size)
    cpdef Py_ssize_t queued_count(self) except -1
    cpdef peer_closing(self, int code, str reason)
    cpdef ended(self, int code, str reason)
    cpdef bint is_client_gone(self) except -1
    @cython.locals(fields=dict, socket=WebSocketSink)
    cpdef send(self, object message)
    cdef _send_rare(self, object kind, dict message)
    cdef _accept(self, dict message, HttpCycle http, ResponseSink sink)
    cdef _refuse(self, HttpCycle http)
    cdef _end_handshake(self, int phase)
    @cython.locals(socket=WebSocketSink)
    cdef _begin_close(self, int code, str reason)
