cdef class ServerState:
    cdef public Py_ssize_t total_requests
    cdef public Py_ssize_t active_requests
    cdef public set connections
    cdef public set tasks
    cdef public list default_headers
    cdef public object shutdown
    cdef public object on_quiet
    cdef public object requests_limit
    cdef public object on_limit

    cpdef limit_reached(self)
    cpdef connection_lost(self, object connection)
