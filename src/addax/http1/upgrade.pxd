"""Types of ``upgrade.py`` for the compiler."""

cimport cython

from addax.asgi.http_cycle cimport HttpCycle
from addax.asgi.service cimport Service
from addax.asgi.ws_cycle cimport WebSocketCycle


@cython.final
cdef class Upgrade:
    cdef Service _service
    cdef object _opening
    cdef readonly double opened_at
    cdef readonly double until

    @cython.locals(service=Service, cycle=WebSocketCycle)
    cpdef start(self, HttpCycle handshake, object sink, bytes target)
    cpdef log_timeout(self, dict scope)
    cpdef tuple accept(
        self, WebSocketCycle cycle, object subprotocol, object headers, object defaults, bint is_draining
    )
