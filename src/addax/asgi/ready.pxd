cimport cython


@cython.final
cdef class Sent:
    pass


@cython.final
cdef class Received:
    cdef object _message
