cimport cython

cdef frozenset _METHODS

cpdef str client_text(object client)


@cython.final
cdef class LineMaker:
    cdef str _prefix
    cdef str _start
    cdef str _end
    cdef object _status_text
    cdef str _terminator
    cdef dict _beginnings
    cdef dict _endings
    cdef object _client
    cdef str _beginning

    @cython.locals(ending=str, beginning=str, path=str)
    cpdef str make(self, dict scope, object status, str outcome)
    @cython.locals(beginning=str)
    cdef str _find_beginning(self, client)
    cdef str _make_ending(self, status)
