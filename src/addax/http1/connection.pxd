cimport cython

from addax.asgi.exchange cimport HttpExchange
from addax.asgi.http_cycle cimport HttpCycle
from addax.asgi.service cimport Service
from addax.asgi.state cimport ServerState
from addax.core.board cimport Board
from addax.core.headers cimport read_request_head
from addax.core.target cimport parse_target
from addax.core.wire cimport Host, Peer
from addax.http1.machine cimport Machine
from addax.http1.parser cimport Parser
from addax.http1.upgrade cimport Upgrade
from addax.http1.writer cimport ResponseWriter

cdef double NEVER
cdef object EagerTask, run_http, start_http
cdef int ENDED, EXPECTS_CONTINUE, FORWARDED, KEEP_ALIVE, UPGRADED, WEBSOCKET
cdef int READ_BODY, READ_CLOSED, READ_DONE, READ_IDLE, WRITE_CLOSED, WRITE_DONE
cdef int TURN_MAX_REQUESTS
cdef Py_ssize_t DISCARD_MAX_BYTES


cdef class Http1Connection(ResponseWriter):
    cdef Parser _parser
    cdef object _client
    cdef dict _template
    cdef dict _tls
    cdef HttpCycle _cycle
    cdef Upgrade _upgrade
    cdef object _proxy
    cdef bytes _target
    cdef tuple _target_parts
    cdef bint _is_app_due
    cdef bint _is_reading_paused
    cdef bint _is_eof
    cdef long long _body_count
    cdef long long _discarded
    cdef double _idle_timeout_s
    cdef long long _buffer_mark

    @cython.locals(service=Service)
    cpdef connected(self, Host host, Peer peer)
    @cython.locals(machine=Machine, reading=int, was_inside_head=bint)
    cpdef receive_data(self, bytes data)
    cpdef bint receive_eof(self) except -1
    cdef _end_of_requests(self)
    cpdef write_paused(self)
    cpdef write_resumed(self)
    @cython.locals(machine=Machine)
    cpdef deadline_reached(self)
    @cython.locals(rest_until=double)
    cpdef start_draining(self, object rest_s=*)
    cpdef notify_disconnect(self)
    cpdef lost(self, object error)
    @cython.locals(head=tuple, body_length="long long", flags=int, has_body=bint, is_kept=bint, service=Service, scope=dict,
                   target_parts=tuple)
    cpdef tuple on_head(self, str method, bytes target, int minor, list headers, tuple known)
    cdef _refuse_host(self, dict scope, bint has_body)
    cdef tuple _begin_upgrade(self, str method, dict scope, list headers, bint has_body)
    @cython.locals(machine=Machine, turns=int)
    cdef _advance(self)
    cdef _take_next(self)
    cdef _advance_later(self)
    cpdef _go_on(self)
    @cython.locals(machine=Machine, is_last=bint)
    cdef _close_when_over(self)
    cdef _close(self)
    cdef _watch_idle(self)
    cdef _watch_head(self)
    @cython.locals(machine=Machine, cycle=HttpCycle)
    cdef _watch_request(self)
    @cython.locals(machine=Machine)
    cdef _watch_silence(self)
    @cython.locals(service=Service, cycle=HttpCycle, shared=ServerState, board=Board, started_at=double)
    cdef _start(self)
    cdef _give_handshake_up(self, Upgrade upgrade)
    @cython.locals(service=Service, shared=ServerState)
    cdef _account(self, HttpCycle cycle)
    @cython.locals(cycle=HttpCycle, service=Service, shared=ServerState)
    cdef _end_response(self)
    cdef _refuse(self, object error)
    cdef _answer_error(self, int status, str reason, bytes extra=*)
    cdef _close_lingering(self)
    cdef _give_up(self, str outcome)
    @cython.locals(cycle=HttpCycle, was_ended=bint)
    cdef _break_cycle(self, str outcome)
    cdef _write_stalled(self)
    cdef _pause_reading(self)
    cdef _resume_reading(self)
