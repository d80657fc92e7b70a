cimport cython

cdef int CHUNKED_LENGTH, CLOSES, CONNECTION, CONTENT_LENGTH, DATE, EXPECTS_CONTINUE, FORWARDED, KEEP_ALIVE, ORDINARY
cdef int SERVER, TRANSFER_ENCODING, WEBSOCKET, _HOST, _CONTENT_LENGTH, _TRANSFER_ENCODING, _CONNECTION, _EXPECT, _UPGRADE, _CONTENT_TYPE
cdef int _FORWARDED, _DIGITS_MAX
cdef dict _REQUEST_FIELDS, field_names
cdef set valid_hosts
cdef frozenset _KEEP_ALIVES


@cython.final
cdef class FieldName:
    cdef readonly bytes lower
    cdef readonly bytes prefix
    cdef readonly int kind
    cdef readonly dict lines


@cython.locals(host=bytes, length=bytes, coding=bytes, options=bytes, expect=bytes, upgrade=bytes,
               has_content_type=bint, flags=int, name=bytes, value=bytes, field=object, body_length="long long")
cpdef tuple read_request_head(int minor, list headers)

@cython.locals(flags=int)
cdef int _read_options(int minor, bytes options, bytes upgrade) except -1

@cython.locals(digit="unsigned char")
cdef long long _body_length(int minor, bytes length, bytes coding) except -2

@cython.locals(content_length=bytes, special=int, lines=bytes, line=bytes, known=FieldName, kind=int, value=object,
               digits=bytes, digit="unsigned char")
cpdef tuple encode_fields(object headers)

cdef bytes _remember_line(FieldName name, bytes value, bytes line)
