from addax.asgi.http_cycle cimport HttpCycle
from addax.asgi.sinks cimport ResponseSink
from addax.asgi.state cimport ServerState

cdef int ENDED

