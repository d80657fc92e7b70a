cimport cython

from addax.asgi.service cimport Service
from addax.core.headers cimport encode_fields

from addax.core.wire cimport Host
from addax.http1.encode cimport DefaultFields
from addax.http1.machine cimport Machine
from addax.http1.parser cimport ParserHandler

cdef int NO_BODY, LENGTH, CHUNKED, UNTIL_CLOSE, CLOSES
cdef int WRITE_BODY, WRITE_CLOSED, WRITE_IDLE
cdef int JOIN_MAX_BYTES, _SMALL_COUNT
cdef object join
cdef frozenset _FINAL_STATUSES
cdef list _SMALL_LENGTHS
cdef dict _large_lengths

@cython.locals(known=tuple)
cdef tuple _large_length(object size)

cdef bytes LAST_CHUNK


cdef class ResponseWriter(ParserHandler):
    cdef Service _service
    cdef object _settings
    cdef DefaultFields _defaults
    cdef Machine _machine
    cdef Host _host
    cdef str _method
    cdef int _minor
    cdef bint _expects_continue
    cdef int _status
    cdef tuple _fields
    cdef int _framing
    cdef long long _body_length
    cdef long long _body_left
    cdef bytes _trailers
    cdef bint _gathering
    cdef bint _is_pipelined
    cdef list _out
    cdef Py_ssize_t _out_bytes
    cdef bint _is_flush_due
    cdef bint _is_draining
    cdef double _ended_at
    cdef list _drain_waiters

    cdef _begin(self, Service service, DefaultFields defaults)
    cdef _end_response(self)
    @cython.locals(fields=tuple, lines=bytes, content_length=bytes, special=int, size=Py_ssize_t, length=bytes, end=bytes,
                   machine=Machine, start=bytes, piece=bytes, now=double, defaults=DefaultFields)
    cpdef send_body(self, bytes data, bint more)
    cdef bytes _persistence_lines(self)
    cdef _settle_framing(self, object whole_length)
    @cython.locals(lines=bytes, special=int, machine=Machine, start=bytes, length=bytes)
    cdef bytes _encode_head(self)
    @cython.locals(suffix=bytes)
    cdef _write_body(self, bytes head, bytes data, bint more)
    @cython.locals(left="long long")
    cdef _count_body(self, long long count, bint more)
    cdef _write(self, bytes data)
    cdef _put_out(self, bytes data)
    @cython.locals(out=list, size=Py_ssize_t)
    cdef _write_gathered(self)
    cpdef _flush_head(self)
    cdef _stop_gathering(self)
    cdef _wake_drained(self)
