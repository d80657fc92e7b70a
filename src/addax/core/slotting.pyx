"""The functions of ``slots.py`` where they are compiled: bytes are copied to where they belong, and no object is made."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_Check, PyMemoryView_GET_BUFFER
from libc.string cimport memcpy

from addax.core.clock import now as _now

cdef extern from *:
    """
    /* The clock of time.monotonic without the number object; negative: it has to be asked the other way. */
    #if PY_VERSION_HEX >= 0x030D0000
    static CYTHON_INLINE double addax_now(void) {
        PyTime_t time;
        return PyTime_Monotonic(&time) == 0 ? 1e-9 * (double) time : (PyErr_Clear(), -1.0);
    }
    #elif defined(__linux__)
    #include <time.h>
    static CYTHON_INLINE double addax_now(void) {
        struct timespec time;
        return clock_gettime(CLOCK_MONOTONIC, &time) == 0 ? (double) time.tv_sec + 1e-9 * (double) time.tv_nsec : -1.0;
    }
    #else
    static CYTHON_INLINE double addax_now(void) { return -1.0; }
    #endif

    static CYTHON_INLINE void addax_store_time(char *place, double time) {
    /* Whatever was written before is to be seen before the time is. */
    #if defined(__GNUC__)
        __atomic_thread_fence(__ATOMIC_RELEASE);
    #endif
        *(volatile double *) place = time;
    }
    """
    double addax_now() noexcept
    void addax_store_time(char *place, double time) noexcept

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(str text)
    Py_ssize_t PyUnicode_GET_LENGTH(str text)
    const char *PyUnicode_DATA(str text)

# As in slots.py, which cannot be imported here, because it imports this; a test compares what both write.
cdef enum:
    METHOD_BYTES = 16
    TARGET_BYTES = 168
    SLOT_BYTES = 192
    CUT_BYTES = 3


cdef inline char *find(object memory, Py_ssize_t at, Py_ssize_t size) except NULL:
    cdef Py_buffer *buffer
    if not PyMemoryView_Check(memory):
        raise TypeError("a memoryview is needed")
    buffer = PyMemoryView_GET_BUFFER(memory)
    if buffer.readonly:
        raise TypeError("cannot modify read-only memory")
    # The time is written as a whole, which some processors can do only where it is aligned.
    if at < 0 or at + size > buffer.len or at & 7:
        raise IndexError("no such slot")
    return <char *> buffer.buf + at


cdef inline void put_text(char *place, Py_ssize_t room, const char *text, Py_ssize_t size) noexcept:
    if size < room:
        memcpy(place, text, <size_t> size)
        # Whatever a longer one has left is behind the end.
        place[size] = 0
    else:
        memcpy(place, text, <size_t> room)


cpdef int put(object memory, Py_ssize_t at, str method, bytes target, double started_at) except -1:
    """Write a request down, see ``slots.py``."""
    cdef char *place = find(memory, at, SLOT_BYTES)
    if method is None or target is None:
        raise TypeError("a str and bytes are needed")
    if PyUnicode_IS_COMPACT_ASCII(method):
        put_text(place, METHOD_BYTES, PyUnicode_DATA(method), PyUnicode_GET_LENGTH(method))
    else:
        encoded = method.encode()
        put_text(place, METHOD_BYTES, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded))
    place += METHOD_BYTES
    put_text(place, TARGET_BYTES, PyBytes_AS_STRING(target), PyBytes_GET_SIZE(target))
    place += TARGET_BYTES
    if PyBytes_GET_SIZE(target) > TARGET_BYTES:
        memcpy(place - CUT_BYTES, "...", CUT_BYTES)
    if started_at == 0.0:
        started_at = addax_now()
        if started_at < 0.0:
            started_at = _now()
    addax_store_time(place, started_at)
    return 0


cpdef bint free(object numbers, Py_ssize_t at) except -1:
    """Forget the request of a slot, see ``slots.py``."""
    cdef char *place = find(numbers, 8 * at, 8)
    if (<double *> place)[0] == 0.0:
        return False
    addax_store_time(place, 0.0)
    return True
