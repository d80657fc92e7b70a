"""Types of ``codec.py`` for the compiler."""

from addax.asgi.sinks cimport WebSocketSink


cdef class CodecHandler(WebSocketSink):
    cpdef on_text(self, str text)
    cpdef on_binary(self, bytes data)
    cpdef on_ping(self, bytes payload)
    cpdef on_pong(self, bytes payload)
    cpdef on_close(self, int code, str reason)
    cpdef write(self, bytes data)


cdef class Codec:
    cdef public bint is_paused
    cdef public bint is_inside_message

    cpdef feed(self, bytes data)
    cpdef go_on(self)
    cpdef send_text(self, str text)
    cpdef send_binary(self, bytes data)
    cpdef send_ping(self, bytes payload)
    cpdef send_pong(self, bytes payload)
    cpdef send_close(self, int code, str reason)
    cpdef rest(self)
