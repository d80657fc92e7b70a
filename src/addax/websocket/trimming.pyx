"""``trim``: what the C library keeps of freed memory goes back to the system, where the library can do that (glibc)."""

cdef extern from *:
    """
    #include <stdlib.h>
    #if defined(__GLIBC__)
    #include <malloc.h>
    static int addax_trim(void) { return malloc_trim(0); }
    #else
    static int addax_trim(void) { return 0; }
    #endif
    """
    int addax_trim() nogil


def trim():
    """Give whole free pages back.

    Returns:
        Whether there were any.
    """
    cdef int found
    with nogil:
        found = addax_trim()
    return found != 0
