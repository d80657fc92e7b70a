"""What compiled modules call without a detour."""

cpdef int put(object memory, Py_ssize_t at, str method, bytes target, double started_at) except -1
cpdef bint free(object numbers, Py_ssize_t at) except -1
