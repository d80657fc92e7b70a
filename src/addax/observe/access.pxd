cimport cython

from addax.asgi.exchange cimport ExchangeLog, HttpExchange

from addax.observe.batch cimport BatchWriter
from addax.observe.line cimport LineMaker


cdef class AccessLog(ExchangeLog):
    cdef object _logger
    cdef object _call_later
    cdef str _id_prefix
    cdef object _id_count
    cdef object _handler
    cdef list _handlers
    cdef list _logger_filters
    cdef list _handler_filters
    cdef BatchWriter _batch
    cdef object _formatter
    cdef LineMaker _line_maker
    cdef bint _is_timer_set

    @cython.locals(batch=BatchWriter, maker=LineMaker)
    cpdef record(self, HttpExchange exchange)
    @cython.locals(handlers=list)
    cdef bint _is_unchanged(self) except -1
    cdef _make_record(self, exchange)
