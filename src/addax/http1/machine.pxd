cimport cython

cdef int READ_BODY, READ_CLOSED, READ_DONE, READ_IDLE, WRITE_BODY, WRITE_CLOSED, WRITE_DONE, WRITE_IDLE


@cython.final
cdef class Machine:
    cdef public int reading
    cdef public int writing
    cdef public bint keep_alive

    cpdef head_read(self, bint has_body, bint keep_alive)
    cpdef request_read(self)
    cpdef stop_reading(self)
    cpdef head_written(self)
    cpdef response_written(self)
    cpdef whole_response_written(self)
    cpdef stop_writing(self)
    cpdef forbid_reuse(self)
    cpdef bint is_idle(self)
    cpdef bint can_answer(self)
    cpdef bint can_take_next(self)
    cpdef bint take_next(self)
