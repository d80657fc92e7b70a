"""Types of ``httptools.py`` for the compiler. The file itself stays plain Python."""

cimport cython

from addax.http1.reader cimport StrictParser


@cython.final
cdef class _FieldCollector:
    cdef list headers


cdef class HttptoolsParser(StrictParser):
    cdef _FieldCollector _collector
    cdef object _llhttp

    cpdef list cut(self, bytes head)
    cpdef head_with_body(self)
