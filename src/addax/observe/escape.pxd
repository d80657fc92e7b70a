cimport cython

cdef Py_ssize_t _LOOP_MAX_CHARS

cpdef str escape(bytes raw)
cpdef str escape_text(str text)
@cython.locals(char=cython.Py_UCS4)
cpdef str escape_path(str path)
cpdef str escape_url(bytes raw)
