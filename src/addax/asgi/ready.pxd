cimport cython


@cython.final
cdef class Sent:
    pass


@cython.final
cdef class Received:
    cdef object _message


cdef class Receiver:
    cdef list _waiters

    cpdef bint has_message(self) except -1
    cpdef dict next_message(self)
    cpdef wait(self)
    cpdef forget(self, object future)
    @cython.locals(waiters=list)
    cpdef wake(self)


@cython.final
cdef class Waiting:
    cdef Receiver _receiver
    cdef object _future
