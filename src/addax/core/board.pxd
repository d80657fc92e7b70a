"""Types of ``board.py`` for the compiler."""

cimport cython

from addax.core.slotting cimport free, put

cdef int METHOD_BYTES, SLOT_BYTES, SLOT_COUNT, TIME_OFFSET_BYTES
cdef int _SLOTS_FOR_REQUESTS, _SLOT_NUMBERS, _TIME_INDEX
cdef int _HEARTBEAT, _FLAGS, _TOTAL, _ACTIVE, _CONNECTIONS, _WEBSOCKETS, _RSS, _LAG, _PID
cdef double _NUMBER_MAX


@cython.final
cdef class Board:
    cdef object _map
    cdef object _memory
    cdef object _numbers
    cdef bytearray _free_slots
    cdef Py_ssize_t _free_count

    @cython.locals(count=Py_ssize_t, slot=Py_ssize_t)
    cpdef int begin(self, str method, bytes target, double started_at) except -2
    cpdef int begin_websocket(self, bytes target, double started_at) except -2
    @cython.locals(count=Py_ssize_t)
    cpdef end(self, int slot)
