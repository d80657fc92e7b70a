"""Types of ``machine.py`` for the compiler."""

cdef int ABNORMAL, FINISHED, OPEN, PEER_CLOSED, WE_CLOSED


cdef class CloseMachine:
    cdef public int state
    cdef public int code

    cpdef bint can_send(self)
    cpdef bint close_sent(self, int code) except -1
    cpdef bint close_received(self, int code) except -1
    cpdef give_up(self)
