from addax.core.board cimport Board


cdef class WebSocketCounters:
    cdef public Py_ssize_t open
    cdef public Py_ssize_t total
    cdef public long long messages_received
    cdef public long long messages_sent
    cdef public long long bytes_received
    cdef public long long bytes_sent
    cdef public dict closes


cdef class ServerState:
    cdef public Py_ssize_t total_requests
    cdef public Py_ssize_t active_requests
    cdef public set connections
    cdef public set tasks
    cdef public list default_headers
    cdef public object shutdown
    cdef public bint is_leaving
    cdef public WebSocketCounters websockets
    cdef public Board board
    cdef public object on_quiet
    cdef public object requests_limit
    cdef public object on_limit

    cpdef count_request(self)
    cpdef limit_reached(self)
    cpdef connection_lost(self, object connection)
