cimport cython

from addax.observe.escape cimport escape_path, escape_text, escape_url

cdef frozenset _METHODS
cdef int _STATUS_COUNT

cpdef str client_text(object client)


@cython.final
cdef class LineMaker:
    cdef str _prefix
    cdef str _start
    cdef str _end
    cdef object _status_text
    cdef str _terminator
    cdef dict _beginnings
    cdef object _client
    cdef str _beginning
    cdef list _endings

    @cython.locals(beginning=str, method=str, path=str, ending=str)
    cpdef str make(self, dict scope, int status, str outcome)
    @cython.locals(beginning=str)
    cdef str _find_beginning(self, client)
    cdef str _make_ending(self, version, int status)
