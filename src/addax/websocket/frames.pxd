"""Types of ``frames.py`` for the compiler. The file itself stays plain Python."""

cimport cython

from addax.websocket.assembly cimport Assembly
from addax.websocket.codec cimport Codec, CodecHandler
from addax.websocket.masking cimport decode_whole, make_frame, make_text_frame, unmask, unmask_whole

cdef int _CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG
cdef Py_ssize_t _CONTROL_MAX_BYTES, _JOINED_BYTES, _DEFLATED_BYTES, _QUICK_HEADER_BYTES
cdef int _FIN, _RSV1, _RSV2_AND_RSV3, _OPCODE, _WHOLE_TEXT, _WHOLE_BINARY
cdef int _MASK, _LENGTH, _LENGTH_16, _LENGTH_64
cdef Py_ssize_t _NOT_WHOLE


cpdef bint may_be_sent(int code) except -1


cdef class FrameCodec(Codec):
    cdef CodecHandler _handler
    cdef object _deflate
    cdef object _deflater
    cdef object _inflater
    cdef Assembly _assembly
    cdef object _pending
    cdef Py_ssize_t _start
    # Up to 63 bits, on a machine of 32 bits too.
    cdef long long _message_max_bytes
    cdef long long _frame_max_bytes
    cdef long long _deflated_max_bytes
    cdef long long _remaining
    cdef Py_ssize_t _quick_max_bytes
    # Only its last two bits mean something.
    cdef Py_ssize_t _offset
    cdef bytes _key
    cdef bint _is_last
    cdef bint _is_closed

    @cython.locals(size=Py_ssize_t, text=str)
    cpdef feed(self, bytes data)
    @cython.locals(data=bytes, start=Py_ssize_t)
    cpdef go_on(self)
    cdef _keep(self, bytes data)
    @cython.locals(end=Py_ssize_t, after=Py_ssize_t)
    cdef _read(self, bytes data, Py_ssize_t at)
    @cython.locals(first=int, opcode=int, length="long long", is_deflated=bint)
    cdef Py_ssize_t _read_frame(self, bytes data, Py_ssize_t at, Py_ssize_t end) except -2
    cdef _check_first(self, int first, int opcode)
    @cython.locals(before="long long")
    cdef _check_length(self, long long length, bint is_deflated)
    @cython.locals(is_whole=bint, is_last=bint, payload=bytes, text=str)
    cdef Py_ssize_t _read_payload(
        self, bytes data, Py_ssize_t at, Py_ssize_t end, long long length, int first, int opcode, bint is_deflated
    ) except -2
    @cython.locals(piece=bytes)
    cdef Py_ssize_t _go_on_with_payload(self, bytes data, Py_ssize_t at, Py_ssize_t end) except -2
    @cython.locals(assembly=Assembly)
    cdef _take_piece(self, bytes piece, bint is_end)
    @cython.locals(inflated=bytes)
    cdef bytes _inflate(self, bytes piece, long long before, bint is_end)
    cdef _read_control(self, int opcode, bytes payload)
    @cython.locals(code=int, reason=str)
    cdef _read_close(self, bytes payload)
    @cython.locals(payload=bytes)
    cpdef send_text(self, str text)
    @cython.locals(size=Py_ssize_t)
    cdef _send_message(self, int first, bytes payload)
    @cython.locals(payload=bytes)
    cpdef send_close(self, int code, str reason)
    cdef _send_control(self, int first, bytes payload)
