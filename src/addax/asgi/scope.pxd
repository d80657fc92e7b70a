cimport cython

from addax.core.wire cimport Peer

cdef str _GET


@cython.final
cdef class ScopeFactory:
    cdef str _root_path
    cdef bytes _raw_root_path
    cdef dict _lifespan_state
    cdef dict _extensions
    cdef dict _websocket_extensions
    cdef dict _templates

    cpdef dict template(self, Peer peer)
    @cython.locals(path=str, raw_path=bytes, query=bytes, scope=dict)
    cpdef dict http(self, dict template, object client, str method, tuple target, int minor, list headers)
    cpdef websocket(self, dict scope, list subprotocols)
