cimport cython


@cython.final
cdef class Peer:
    cdef readonly object client
    cdef readonly object server
    cdef readonly object scheme
    cdef readonly object tls
    cdef readonly bint can_forward


cdef class Host:
    cdef public object write

    cpdef Py_ssize_t write_buffer_size(self) except -1
    cpdef discarded(self)
    cpdef close(self)
    cpdef linger(self)
    cpdef abort(self)
    cpdef pause_reading(self)
    cpdef resume_reading(self)
    cpdef set_deadline(self, double when)
