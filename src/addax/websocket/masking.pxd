"""What compiled modules call without a detour."""

cpdef bytes unmask(bytes data, Py_ssize_t start, Py_ssize_t end, bytes key, Py_ssize_t offset)
cpdef bytes unmask_whole(bytes data, Py_ssize_t start, Py_ssize_t end)
cpdef str decode_whole(bytes data, Py_ssize_t start, Py_ssize_t end)
cpdef bytes make_frame(int first, bytes payload)
cpdef bytes make_text_frame(int first, str text)
