"""Types of ``timers.py`` for the compiler."""

cimport cython

cdef double NEVER, _SLOT_S


@cython.final
cdef class Wheel:
    cdef object _loop
    cdef dict _slots
    cdef public object _timer

    cpdef put(self, object timed, double deadline)
    @cython.locals(end=double, members=set)
    cpdef double move(self, object timed, double looked_at, double deadline) except -1
    @cython.locals(members=set)
    cpdef discard(self, object timed, double looked_at)
    cpdef remove(self, object timed)
    cdef _turn_later(self)
