cimport cython

cdef dict _known
cdef int _KNOWN_MAX, _KNOWN_MAX_BYTES

cpdef tuple parse_target(str method, bytes target)
