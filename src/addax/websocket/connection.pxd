"""Types of ``connection.py`` for the compiler."""

cimport cython

from addax.asgi.service cimport Service
from addax.asgi.state cimport ServerState, WebSocketCounters
from addax.asgi.ws_cycle cimport WebSocketCycle
from addax.core.wire cimport Host
from addax.websocket.codec cimport Codec, CodecHandler
from addax.websocket.machine cimport CloseMachine

cdef double NEVER
cdef int ABNORMAL, GOING_AWAY, INTERNAL_ERROR, FINISHED, OPEN


cdef class WebSocketConnection(CodecHandler):
    cdef Service _service
    cdef object _settings
    cdef WebSocketCycle _cycle
    cdef CloseMachine _machine
    cdef WebSocketCounters _counters
    cdef Codec _codec
    cdef Host _host
    cdef list _out
    cdef Py_ssize_t _out_bytes
    cdef bint _is_flush_due
    cdef bint _gathers
    cdef list _drain_waiters
    cdef object _ending
    cdef bint _is_pausing
    cdef bint _has_heard
    cdef bint _is_active
    cdef bint _can_rest
    cdef double _rest_at
    cdef bint _is_being_asked
    cdef double _ping_due_at
    cdef double _pong_due_at
    cdef double _expires_at
    cdef double _drain_at
    cdef double _close_until
    cdef double _stall_at
    cdef Py_ssize_t _buffer_mark

    @cython.locals(counters=WebSocketCounters, now=double)
    cpdef connected(self, Host host, object peer)
    cpdef receive_data(self, bytes data)
    cpdef bint receive_eof(self) except -1
    cpdef write_paused(self)
    cpdef write_resumed(self)
    @cython.locals(now=double)
    cpdef deadline_reached(self)
    @cython.locals(spread_s=double, delay_s=double)
    cpdef start_draining(self, object rest_s=*)
    cpdef notify_disconnect(self)
    cpdef lost(self, object error)
    @cython.locals(counters=WebSocketCounters, cycle=WebSocketCycle)
    cdef _take(self, dict message, Py_ssize_t size)
    @cython.locals(due=double)
    cdef _watch(self)
    cdef _rest_later(self)
    cdef _rest_if_idle(self, double now)
    cdef _tick(self, double now)
    cdef bint _is_taking(self, double now) except -1
    @cython.locals(cycle=WebSocketCycle)
    cdef _say_close(self, int code, str reason)
    @cython.locals(cycle=WebSocketCycle)
    cdef _shut_down(self)
    @cython.locals(cycle=WebSocketCycle)
    cdef _end(self, object ending)
    cpdef _end_now(self)
    @cython.locals(cycle=WebSocketCycle)
    cdef _take_close(self, int code, str reason)
    @cython.locals(machine=CloseMachine)
    cdef _fail(self, object error)
    cdef _finish(self)
    cdef _abort(self)
    @cython.locals(cycle=WebSocketCycle)
    cdef _end_cycle(self, int code, str reason)
    cpdef _flush_in_turn(self)
    cdef _flush(self)
    cdef _wake_drained(self)
