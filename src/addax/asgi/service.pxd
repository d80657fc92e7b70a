cimport cython

from addax.asgi.exchange cimport ExchangeLog
from addax.asgi.scope cimport ScopeFactory
from addax.asgi.state cimport ServerState
from addax.core.wire cimport Peer


@cython.final
cdef class Service:
    cdef public object app
    cdef public object settings
    cdef public object loop
    cdef public object now
    cdef public bint starts_at_once
    cdef public dict task_options
    cdef public object concurrency_max_count
    cdef public object context
    cdef public bint gathers_writes
    cdef public object hosts
    cdef public object parser
    cdef public object codec
    cdef public object websocket
    cdef public ServerState state
    cdef public ScopeFactory scopes
    cdef public ExchangeLog access
    cdef public object proxy
    cdef dict _known_peers

    cpdef object rules_for(self, Peer peer)
