# cython: boundscheck=False, wraparound=False, nonecheck=False, cdivision=True
"""``--http native``: addax's own parser, in one pass over the bytes of a head. It exists as machine code only.

It takes the language of ``grammar.STRICT_HEAD`` and nothing else. Whatever is not a whole head without fault (a piece
of one, a bad one, one with more fields than a table of fixed size holds) is left to the common way in ``reader.py``,
which looks again from the start: so the answer to a bad head is the same with every parser, and comes from one place.

What makes it fast: names that clients use are found without making an object, and so are field lines that most
requests have (``Accept: */*``); values are scanned 16 or 8 bytes at a time; and what a connection says with every
request, its Host and often its target, is compared with what it said before.

Implements: RFC 9112 §2.2, §3, §5; RFC 9110 §5.1, §5.5, §5.6.2.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memcmp, memset

from addax.http1.chunked cimport ChunkedDecoder
from addax.http1.reader cimport StrictParser

from addax.core.errors import RemoteProtocolError
from addax.http1.grammar import METHODS, cut_fields, parse_field_line

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    #if !defined(ADDAX_PORTABLE_SCAN) && (defined(__SSE2__) || defined(_M_X64))
    #include <emmintrin.h>
    #define ADDAX_SSE2
    #ifdef _MSC_VER
    #include <intrin.h>
    static __inline int addax_first_bit(unsigned int mask) {
        unsigned long index;
        _BitScanForward(&index, mask);
        return (int) index;
    }
    #else
    #define addax_first_bit(mask) __builtin_ctz(mask)
    #endif
    #endif

    /* In each byte the same number. */
    #define ADDAX_BYTES(number) (UINT64_C(0x0101010101010101) * (number))
    /* Not 0 if some byte of the word is less than a number up to 128, or is 0. */
    #define ADDAX_HAS_LESS(word, number) (((word) - ADDAX_BYTES(number)) & ~(word) & ADDAX_BYTES(0x80))
    #define ADDAX_HAS(word, number) ADDAX_HAS_LESS((word) ^ ADDAX_BYTES(number), 1)

    static inline uint64_t addax_load_64(const unsigned char *from) {
        uint64_t word;
        memcpy(&word, from, 8);
        return word;
    }

    static inline uint32_t addax_load_32(const unsigned char *from) {
        uint32_t word;
        memcpy(&word, from, 4);
        return word;
    }

    /* The first byte from ``at`` on that may not stand in a field's value, or ``end``. RFC 9110 section 5.5. */
    static inline const unsigned char *addax_skip_text(const unsigned char *at, const unsigned char *end) {
    #ifdef ADDAX_SSE2
        const __m128i control = _mm_set1_epi8(0x1f), del = _mm_set1_epi8(0x7f);
        while (end - at >= 16) {
            const __m128i text = _mm_loadu_si128((const __m128i *) at);
            const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(text, control), text);
            const int mask = _mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(text, del)));
            if (mask == 0) {
                at += 16;
                continue;
            }
            at += addax_first_bit((unsigned int) mask);
            if (*at != 0x09)
                return at;
            at++;
        }
    #endif
        for (;;) {
            const unsigned char *stop = end;
            if (end - at >= 8) {
                const uint64_t word = addax_load_64(at);
                stop = at + 8;
                if ((ADDAX_HAS_LESS(word, 0x20) | ADDAX_HAS(word, 0x7f)) == 0) {
                    at = stop;
                    continue;
                }
            }
            while (at < stop && ((*at >= 0x20 && *at != 0x7f) || *at == 0x09))
                at++;
            if (at < stop || stop == end)
                return at;
        }
    }

    /* The first byte from ``at`` on that may not stand in a request-target, or ``end``: visible ASCII. */
    static inline const unsigned char *addax_skip_target(const unsigned char *at, const unsigned char *end) {
    #ifdef ADDAX_SSE2
        const __m128i space = _mm_set1_epi8(0x20), del = _mm_set1_epi8(0x7f);
        while (end - at >= 16) {
            /* As signed numbers: what is not ASCII is less than a space. */
            const __m128i text = _mm_loadu_si128((const __m128i *) at);
            const __m128i good = _mm_and_si128(_mm_cmpgt_epi8(text, space), _mm_cmpgt_epi8(del, text));
            const int mask = _mm_movemask_epi8(good) ^ 0xffff;
            if (mask != 0)
                return at + addax_first_bit((unsigned int) mask);
            at += 16;
        }
    #endif
        while (end - at >= 8) {
            const uint64_t word = addax_load_64(at);
            if ((ADDAX_HAS_LESS(word, 0x21) | ADDAX_HAS(word, 0x7f) | (word & ADDAX_BYTES(0x80))) != 0)
                break;
            at += 8;
        }
        while (at < end && *at > 0x20 && *at < 0x7f)
            at++;
        return at;
    }

    /* The first colon from ``at`` on, or ``end``. */
    static inline const unsigned char *addax_find_colon(const unsigned char *at, const unsigned char *end) {
    #ifdef ADDAX_SSE2
        const __m128i colon = _mm_set1_epi8(':');
        while (end - at >= 16) {
            const int mask = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *) at), colon));
            if (mask != 0)
                return at + addax_first_bit((unsigned int) mask);
            at += 16;
        }
    #endif
        while (at < end && *at != ':')
            at++;
        return at;
    }

    /* A number for a name that a colon follows; the same in either case. ``size`` is 3 at least. The factors give each of
       the names below a number of its own in nine bits. */
    static inline unsigned int addax_hash(const unsigned char *name, Py_ssize_t size) {
        const uint32_t first = addax_load_32(name) | UINT32_C(0x20202020);
        const uint32_t last = addax_load_32(name + size - 3) | UINT32_C(0x20202020);
        return (unsigned int) ((first * UINT32_C(0xe0f3a7ef) + (last + (uint32_t) size) * UINT32_C(0xd9bc1d97)) >> 23);
    }

    /* Whether bytes are the same; ``memcmp`` without the call, for the few bytes that are usual. */
    static inline int addax_is_same(const unsigned char *one, const unsigned char *other, Py_ssize_t size) {
        Py_ssize_t i;
        if (size > 32)
            return memcmp(one, other, (size_t) size) == 0;
        if (size >= 8) {
            for (i = 0; i + 8 <= size; i += 8)
                if (addax_load_64(one + i) != addax_load_64(other + i))
                    return 0;
            return addax_load_64(one + size - 8) == addax_load_64(other + size - 8);
        }
        if (size >= 4)
            return addax_load_32(one) == addax_load_32(other)
                && addax_load_32(one + size - 4) == addax_load_32(other + size - 4);
        for (i = 0; i < size; i++)
            if (one[i] != other[i])
                return 0;
        return 1;
    }

    /* Whether a name is a known one, in either case. ``letters`` has the bit of lower case where ``name`` has a letter,
       so that no other byte can become one. */
    static inline int addax_is_name(
        const unsigned char *at, Py_ssize_t size, const unsigned char *name, const unsigned char *letters
    ) {
        Py_ssize_t i;
        if (size >= 8) {
            for (i = 0; i + 8 <= size; i += 8)
                if ((addax_load_64(at + i) | addax_load_64(letters + i)) != addax_load_64(name + i))
                    return 0;
            i = size - 8;
            return (addax_load_64(at + i) | addax_load_64(letters + i)) == addax_load_64(name + i);
        }
        if (size >= 4) {
            if ((addax_load_32(at) | addax_load_32(letters)) != addax_load_32(name))
                return 0;
            i = size - 4;
            return (addax_load_32(at + i) | addax_load_32(letters + i)) == addax_load_32(name + i);
        }
        for (i = 0; i < size; i++)
            if ((at[i] | letters[i]) != name[i])
                return 0;
        return 1;
    }
    """
    const unsigned char *addax_skip_text(const unsigned char *at, const unsigned char *end) nogil
    const unsigned char *addax_skip_target(const unsigned char *at, const unsigned char *end) nogil
    const unsigned char *addax_find_colon(const unsigned char *at, const unsigned char *end) nogil
    unsigned int addax_hash(const unsigned char *name, Py_ssize_t size) nogil
    bint addax_is_same(const unsigned char *one, const unsigned char *other, Py_ssize_t size) nogil
    bint addax_is_name(
        const unsigned char *at, Py_ssize_t size, const unsigned char *name, const unsigned char *letters
    ) nogil

cdef extern from "Python.h":
    # With plain pointers: these steal references, or lend them.
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size) except NULL
    PyObject *new_tuple "PyTuple_New"(Py_ssize_t size) except NULL
    void set_in_tuple "PyTuple_SET_ITEM"(PyObject *tuple, Py_ssize_t index, PyObject *item)
    void set_in_list "PyList_SET_ITEM"(list headers, Py_ssize_t index, PyObject *item)
    list new_list "PyList_New"(Py_ssize_t size)
    char *bytes_data "PyBytes_AS_STRING"(PyObject *data)
    void take_reference "Py_INCREF"(PyObject *object)
    Py_ssize_t PY_SSIZE_T_MAX


# ---- tables, filled once below, when this module is imported, and then only read

cdef enum:
    # Of one head, as many as the default bound allows; a head with more goes the common way.
    FIELDS_MAX = 256
    NAME_MIN_BYTES = 3
    NAME_MAX_BYTES = 32
    NAMES_MAX = 128
    SLOTS_COUNT = 512
    PAIRS_MAX = 8
    # A target or host up to this size is kept for the next request.
    REPEATED_MAX_BYTES = 255

cdef enum:
    # What a field name means to the server: nothing; the Host; something else.
    ORDINARY = 0
    HOST = 1
    SPECIAL = 2

cdef struct Pair:
    # A whole field line that many requests have. Owned for ever, as everything in these tables.
    PyObject *object
    const unsigned char *value
    Py_ssize_t size

cdef struct Name:
    PyObject *object
    unsigned char lower[NAME_MAX_BYTES]
    unsigned char letters[NAME_MAX_BYTES]
    Py_ssize_t size
    int kind
    # For each size of a value in ``pairs``, modulo 64, a bit: most values have none of these sizes.
    unsigned long long sizes
    # As many as there are, then one without an object.
    Pair pairs[PAIRS_MAX + 1]

cdef struct Method:
    PyObject *object
    const char *token
    Py_ssize_t size

cdef struct Field:
    # One field line of the head that is being read; the bytes are in the data.
    PyObject *pair
    Name *name
    const unsigned char *name_start
    Py_ssize_t name_size
    const unsigned char *value
    Py_ssize_t value_size

#: What a byte of a token is in lower case, or 0 if it may not stand in one.
cdef unsigned char[256] _lower
cdef Name[NAMES_MAX] _names
cdef int _names_count = 0
#: Numbers of names by a hash of theirs, or -1.
cdef short[SLOTS_COUNT] _slots
cdef Method[64] _methods
cdef int _methods_count = 0
#: Keeps alive what the tables point to.
_owned = []


cdef inline Name *_find_name(const unsigned char *name, Py_ssize_t size) noexcept nogil:
    """The known name that these bytes are, which a colon follows, or NULL."""
    cdef unsigned int slot
    cdef Name *candidate
    if size < NAME_MIN_BYTES or size > NAME_MAX_BYTES:
        return NULL
    slot = addax_hash(name, size)
    while _slots[slot] >= 0:
        candidate = &_names[_slots[slot]]
        if candidate.size == size and addax_is_name(name, size, candidate.lower, candidate.letters):
            return candidate
        slot = (slot + 1) % SLOTS_COUNT
    return NULL


cdef PyObject *_find_method(const unsigned char *token, Py_ssize_t size) noexcept nogil:
    """The method, a string, or NULL."""
    cdef int number
    for number in range(_methods_count):
        if _methods[number].size == size and memcmp(_methods[number].token, token, size) == 0:
            return _methods[number].object
    return NULL


cdef inline bint _is_token(const unsigned char *at, const unsigned char *end) noexcept nogil:
    if at == end:
        return False
    while at < end:
        if _lower[at[0]] == 0:
            return False
        at += 1
    return True


cdef class NativeDecoder(ChunkedDecoder):
    """The decoder of all parsers, with pieces that are made for less."""

    cdef bytes _piece(self, bytes data, Py_ssize_t start, Py_ssize_t end):
        return PyBytes_AS_STRING(data)[start:end]


cdef class NativeParser(StrictParser):
    """Fills ``http1.parser.Parser``.

    Args:
        handler: is told of what is found.
        settings: bounds of a head and of trailers.
    """

    cdef Py_ssize_t _head_max_bytes
    cdef Py_ssize_t _request_line_max_bytes
    cdef Py_ssize_t _fields_max
    #: The last target, if it is small.
    cdef bytes _target
    #: The last Host line that was found valid, if it is small.
    cdef tuple _host
    #: What a head of HTTP/1.1 means that has a valid Host and nothing else that means something; None if not known yet.
    cdef tuple _plain

    def __init__(self, handler, settings):
        self._begin(handler, settings)
        self._head_max_bytes = min(settings.head_max_bytes, PY_SSIZE_T_MAX)
        self._request_line_max_bytes = min(settings.request_line_max_bytes, PY_SSIZE_T_MAX)
        self._fields_max = min(settings.header_max_count, FIELDS_MAX)

    cpdef list cut(self, bytes head):
        """Cut the field lines of a head that has more of them than the tables hold."""
        return cut_fields(head)

    cdef ChunkedDecoder _new_decoder(self):
        return NativeDecoder(self._handler, self._settings)

    cdef bytes _piece(self, bytes data, Py_ssize_t start, Py_ssize_t end):
        # A slice costs two numbers and an object that holds them: 400 instructions.
        return PyBytes_AS_STRING(data)[start:end]

    cdef bint _take_head(self, bytes data, Py_ssize_t start, Py_ssize_t limit) except -1:
        cdef Field[FIELDS_MAX] fields
        cdef Field *field
        cdef Field *host = NULL
        cdef Name *name
        cdef Pair *pair
        cdef PyObject *method
        cdef const unsigned char *beginning
        cdef const unsigned char *at
        cdef const unsigned char *end
        cdef const unsigned char *stop
        cdef const unsigned char *target
        cdef Py_ssize_t target_size
        cdef Py_ssize_t count = 0
        cdef int minor
        cdef bint is_plain

        if data is None:
            raise TypeError("bytes are needed, not None")
        beginning = at = <const unsigned char *> PyBytes_AS_STRING(data) + start
        end = at + (PyBytes_GET_SIZE(data) - start)

        # RFC 9112 §3: method SP request-target SP HTTP-version CRLF. Less than this is no head.
        if end - at < 18:
            return False
        if memcmp(at, b"GET ", 4) == 0:
            method = _get
            at += 4
        else:
            stop = at
            # No known method is longer than the bytes that are there for sure.
            while stop < at + 17 and _lower[stop[0]] != 0:
                stop += 1
            method = _find_method(at, stop - at)
            if method == NULL or stop[0] != 0x20:
                return False
            at = stop + 1
        target = at
        at = addax_skip_target(at, end)
        target_size = at - target
        if target_size == 0 or end - at < 13 or memcmp(at, b" HTTP/1.", 8) != 0:
            return False
        minor = at[8] - 0x30
        if (minor != 1 and minor != 0) or at[9] != 0x0D or at[10] != 0x0A:
            return False
        if at + 9 - beginning > self._request_line_max_bytes:
            return False
        at += 11

        # RFC 9112 §5: field-name ":" OWS field-value OWS CRLF
        is_plain = minor == 1
        while True:
            # There is always a NUL behind the bytes of an object: one byte may be looked at without asking.
            if at[0] == 0x0D:
                if at[1] != 0x0A:
                    return False
                break
            if count >= self._fields_max:
                return StrictParser._take_head(self, data, start, limit)
            field = &fields[count]
            stop = addax_find_colon(at, end)
            if stop == end:
                return False
            field.pair = NULL
            field.name_start = at
            field.name_size = stop - at
            field.name = name = _find_name(at, stop - at)
            if name == NULL and not _is_token(at, stop):
                return False
            at = stop + 1
            if at[0] == 0x20:
                at += 1
            while at[0] == 0x20 or at[0] == 0x09:
                at += 1
            field.value = at
            stop = addax_skip_text(at, end)
            # Both are inside: a CR that is the last byte has the NUL behind it.
            if stop[0] != 0x0D or stop[1] != 0x0A:
                return False
            at = stop + 2
            while stop > field.value and ((stop - 1)[0] == 0x20 or (stop - 1)[0] == 0x09):
                stop -= 1
            field.value_size = stop - field.value
            if name != NULL:
                if (name.sizes >> (field.value_size & 63)) & 1:
                    pair = &name.pairs[0]
                    while pair.object != NULL:
                        if pair.size == field.value_size and addax_is_same(pair.value, field.value, pair.size):
                            field.pair = pair.object
                            break
                        pair += 1
                if name.kind == HOST:
                    if host != NULL:
                        is_plain = False
                    host = field
                elif name.kind == SPECIAL and field.pair == NULL:
                    is_plain = False
            count += 1
        if at - beginning > self._head_max_bytes:
            return False
        self._tell(data, at + 2 - <const unsigned char *> PyBytes_AS_STRING(data), method, target, target_size, minor,
                   fields, count, host, is_plain)
        return True

    cdef _tell(
        self,
        bytes data,
        Py_ssize_t end,
        PyObject *method,
        const unsigned char *target_start,
        Py_ssize_t target_size,
        int minor,
        Field *fields,
        Py_ssize_t count,
        Field *host,
        bint is_plain,
    ):
        """Make the objects of a head that is right, and hand them over."""
        cdef bytes target = self._target
        cdef tuple known = None
        cdef tuple meaning
        cdef tuple host_line = None
        cdef list headers

        if (
            target is None
            or PyBytes_GET_SIZE(target) != target_size
            or not addax_is_same(<const unsigned char *> PyBytes_AS_STRING(target), target_start, target_size)
        ):
            target = (<const char *> target_start)[:target_size]
            if target_size <= REPEATED_MAX_BYTES:
                self._target = target
        if host == NULL:
            is_plain = False
        elif self._host is not None and _has_value(self._host, host):
            host.pair = <PyObject *> self._host
            if is_plain:
                known = self._plain
            host = NULL
        headers = _make_headers(fields, count)
        if host != NULL and host.value_size <= REPEATED_MAX_BYTES:
            host_line = headers[host - fields]
        meaning = self._head_taken(<str> method, target, minor, headers, known, data, end)
        # The handler took it, so the Host is valid.
        if host_line is not None:
            self._host = host_line
        if is_plain:
            self._plain = meaning


cdef inline bint _has_value(tuple line, Field *field):
    cdef bytes value = line[1]
    return (
        PyBytes_GET_SIZE(value) == field.value_size
        and addax_is_same(<const unsigned char *> PyBytes_AS_STRING(value), field.value, field.value_size)
    )


cdef list _make_headers(Field *fields, Py_ssize_t count):
    cdef list headers = new_list(count)
    cdef Field *field
    cdef PyObject *pair
    cdef PyObject *name
    cdef char *lower
    cdef Py_ssize_t index, place
    for index in range(count):
        field = &fields[index]
        if field.pair != NULL:
            take_reference(field.pair)
            set_in_list(headers, index, field.pair)
            continue
        # In this order, so that nothing is lost if memory is short.
        pair = new_tuple(2)
        set_in_list(headers, index, pair)
        if field.name != NULL:
            name = field.name.object
            take_reference(name)
        else:
            name = new_bytes(NULL, field.name_size)
            lower = bytes_data(name)
            for place in range(field.name_size):
                lower[place] = <char> _lower[field.name_start[place]]
        set_in_tuple(pair, 0, name)
        set_in_tuple(pair, 1, new_bytes(<const char *> field.value, field.value_size))
    return headers


# ---- what the tables hold

#: Names that mean something to ``core.headers``, and so to the connection.
_SPECIAL_NAMES = frozenset(
    b"content-length transfer-encoding connection expect upgrade content-type forwarded x-forwarded-for"
    b" x-forwarded-proto x-forwarded-host x-forwarded-port x-forwarded-prefix".split()
)

#: Names that clients and proxies send; and with some of them, whole values that many send, to the byte.
_COMMON = {
    b"host": (),
    b"connection": (b"keep-alive",),
    b"content-length": (),
    b"content-type": (),
    b"transfer-encoding": (),
    b"expect": (),
    b"upgrade": (),
    b"forwarded": (),
    b"x-forwarded-for": (),
    b"x-forwarded-proto": (),
    b"x-forwarded-host": (),
    b"x-forwarded-port": (),
    b"x-forwarded-prefix": (),
    b"accept": (
        b"*/*",
        b"application/json",
        b"application/json, text/plain, */*",
        b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
        b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
        b"application/signed-exchange;v=b3;q=0.7",
        b"image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    ),
    b"accept-encoding": (
        b"gzip, deflate, br, zstd",
        b"gzip, deflate, br",
        b"gzip, deflate",
        b"gzip",
        b"identity",
    ),
    b"accept-language": (b"en-US,en;q=0.9", b"en-US,en;q=0.5", b"en-GB,en;q=0.9"),
    b"cache-control": (b"no-cache", b"max-age=0"),
    b"pragma": (b"no-cache",),
    b"priority": (b"u=0, i", b"u=1, i"),
    b"sec-ch-ua": (),
    b"sec-ch-ua-mobile": (b"?0", b"?1"),
    b"sec-ch-ua-platform": (b'"Windows"', b'"macOS"', b'"Linux"', b'"Android"'),
    b"sec-fetch-dest": (b"document", b"empty", b"image", b"script", b"style", b"font", b"iframe"),
    b"sec-fetch-mode": (b"navigate", b"cors", b"no-cors", b"same-origin"),
    b"sec-fetch-site": (b"none", b"same-origin", b"same-site", b"cross-site"),
    b"sec-fetch-user": (b"?1",),
    b"sec-gpc": (b"1",),
    b"dnt": (b"1",),
    b"upgrade-insecure-requests": (b"1",),
    b"x-requested-with": (b"XMLHttpRequest",),
    b"accept-charset": (),
    b"access-control-request-headers": (),
    b"access-control-request-method": (),
    b"authorization": (),
    b"baggage": (),
    b"cdn-loop": (),
    b"cf-connecting-ip": (),
    b"cf-ipcountry": (),
    b"cf-ray": (),
    b"cf-visitor": (),
    b"content-encoding": (),
    b"content-language": (),
    b"cookie": (),
    b"date": (),
    b"from": (),
    b"grpc-timeout": (),
    b"idempotency-key": (),
    b"if-match": (),
    b"if-modified-since": (),
    b"if-none-match": (),
    b"if-range": (),
    b"if-unmodified-since": (),
    b"keep-alive": (),
    b"last-event-id": (),
    b"max-forwards": (),
    b"origin": (),
    b"proxy-authorization": (),
    b"proxy-connection": (),
    b"range": (),
    b"referer": (),
    b"sec-websocket-extensions": (),
    b"sec-websocket-key": (),
    b"sec-websocket-protocol": (),
    b"sec-websocket-version": (),
    b"traceparent": (),
    b"tracestate": (),
    b"true-client-ip": (),
    b"user-agent": (),
    b"via": (),
    b"x-amzn-trace-id": (),
    b"x-api-key": (),
    b"x-correlation-id": (),
    b"x-csrf-token": (),
    b"x-real-ip": (),
    b"x-request-id": (),
}


cdef PyObject *_own(object thing):
    _owned.append(thing)
    return <PyObject *> thing


cdef _add_name(bytes text, tuple values):
    """Put a name into the tables, with the whole lines that begin with it."""
    global _names_count
    cdef Name *name = &_names[_names_count]
    cdef unsigned int slot
    cdef Py_ssize_t place
    cdef Pair *pair = &name.pairs[0]
    cdef bytes line = text + b":"
    assert _names_count < NAMES_MAX and NAME_MIN_BYTES <= len(text) <= NAME_MAX_BYTES and len(values) <= PAIRS_MAX
    memset(name, 0, sizeof(Name))
    name.object = _own(text)
    name.size = len(text)
    name.kind = HOST if text == b"host" else SPECIAL if text in _SPECIAL_NAMES else ORDINARY
    for place in range(name.size):
        name.lower[place] = text[place]
        name.letters[place] = 0x20 if text[place:place + 1].isalpha() else 0
    for value in values:
        pair.object = _own((text, value))
        pair.value = <const unsigned char *> PyBytes_AS_STRING(value)
        pair.size = len(value)
        name.sizes |= <unsigned long long> 1 << (pair.size & 63)
        pair += 1
    slot = addax_hash(<const unsigned char *> PyBytes_AS_STRING(line), name.size)
    while _slots[slot] >= 0:
        slot = (slot + 1) % SLOTS_COUNT
    _slots[slot] = <short> _names_count
    _names_count += 1


cdef _fill_tables():
    global _methods_count
    cdef int byte
    for byte in range(256):
        # The language is written down once, in ``grammar``.
        try:
            _lower[byte] = parse_field_line(bytes((byte,)) + b":")[0][0]
        except RemoteProtocolError:
            _lower[byte] = 0
    for token, method in METHODS.items():
        assert _methods_count < 64 and len(token) < 17
        _methods[_methods_count].object = _own(method)
        _methods[_methods_count].token = PyBytes_AS_STRING(_own_bytes(token))
        _methods[_methods_count].size = len(token)
        _methods_count += 1
    memset(_slots, 0xFF, sizeof(_slots))
    for text, values in _COMMON.items():
        _add_name(text, values)


cdef bytes _own_bytes(bytes data):
    _owned.append(data)
    return data


_fill_tables()
cdef PyObject *_get = <PyObject *> METHODS[b"GET"]
