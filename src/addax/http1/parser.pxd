"""Types of ``parser.py`` for the compiler."""

from addax.asgi.sinks cimport ResponseSink


cdef class ParserHandler(ResponseSink):
    cpdef tuple on_head(self, str method, bytes target, int minor, list headers, tuple known)
    cpdef on_body(self, bytes chunk)
    cpdef on_end(self)


cdef class Parser:
    cdef public Py_ssize_t pending_bytes
    cdef public bint is_inside_message

    cpdef feed(self, bytes data)
    cpdef keep(self, bytes data)
    cpdef next_message(self)
    cpdef bytes detach(self)


cdef class ForeignParser(Parser):
    cdef object _parser

    cdef _copy_state(self)
