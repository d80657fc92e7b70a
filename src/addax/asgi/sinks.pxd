cdef class ResponseSink:
    cdef public bint is_writable

    cpdef send_head(self, object status, object headers, bint trailers)
    cpdef send_informational(self, int status, object headers)
    cpdef send_body(self, bytes data, bint more)
    cpdef send_trailers(self, object headers, bint more)
    cpdef accept_websocket(self, object cycle, object subprotocol, object headers)
    cpdef send_continue(self)
    cpdef body_consumed(self)
    cpdef fail(self, object cycle)


cdef class WebSocketSink:
    cdef public bint is_writable

    cpdef send_text(self, str text)
    cpdef send_binary(self, bytes data)
    cpdef close(self, int code, str reason)
    cpdef messages_consumed(self)
