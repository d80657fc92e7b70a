"""``run_app.run_http`` as an object instead of a coroutine: what a task of a request runs in the compiled build.

A coroutine around the application's own costs a generator, its closure, and two more objects for the ``await``; this is
one object, which hands the task's calls on to the application's coroutine. It is also what debuggers see: ``cr_frame``
and ``cr_await`` are the application's, which a compiled coroutine would hide.

It may judge nothing by itself: how a run ended is classified by the same functions as in plain Python.
"""

cimport cython
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF

from addax.asgi.http_cycle cimport HttpCycle
from addax.asgi.ready cimport Received
from addax.asgi.sinks cimport ResponseSink
from addax.asgi.state cimport ServerState

from asyncio import CancelledError, Task

from addax.asgi.phases import ENDED as _ENDED
from addax.asgi.outcome import check_return, take_error

cdef extern from "Python.h":
    int PyCoro_CheckExact(object thing)
    object PyObject_Call(object function, tuple arguments, dict options)
    # PYGEN_ERROR is -1: what Cython takes for an exception.
    int PyIter_Send(object iterator, object value, PyObject **result) except -1

cdef extern from *:
    """
    static CYTHON_INLINE PyObject *addax_bind(PyObject *descriptor, PyObject *instance) {
        return Py_TYPE(descriptor)->tp_descr_get(descriptor, instance, (PyObject *) Py_TYPE(instance));
    }

    /* Cython has no way to say that a class has this slot; its own "send" comes with a StopIteration for each result. */
    static void addax_set_iternext(PyTypeObject *kind, void *function) {
        kind->tp_iternext = (iternextfunc) function;
    }

    static void addax_set_am_send(PyTypeObject *kind, void *function) {
        kind->tp_as_async->am_send = (sendfunc) function;
    }
    """
    object addax_bind(object descriptor, object instance)
    void addax_set_am_send(PyTypeObject *kind, void *function)
    void addax_set_iternext(PyTypeObject *kind, void *function)

cdef int RETURNED = 0
cdef int YIELDED = 1
cdef int ENDED = _ENDED

# A look-up of a method on the cycle's class, done once.
cdef object _receive = HttpCycle.__dict__["receive"]
cdef object _send = HttpCycle.__dict__["send"]


@cython.final
@cython.freelist(64)
cdef class AppRun:
    """Runs the application for one request. Whatever it raises, ``SystemExit`` too, costs this request and no other.

    Fills ``collections.abc.Coroutine``.

    Args:
        app: the ASGI 3 application.
        cycle: of the request.
        sink: takes the response.
        state: counts requests.
    """

    cdef object _app
    cdef HttpCycle _cycle
    cdef ResponseSink _sink
    cdef ServerState _state
    # The application's coroutine, or the iterator of another awaitable; None before the first step.
    cdef object _inner
    cdef bint _is_over

    def __init__(self, app, HttpCycle cycle not None, ResponseSink sink not None, ServerState state not None):
        self._app = app
        self._cycle = cycle
        self._sink = sink
        self._state = state

    def __await__(self):
        """The iterator is the object itself."""
        return self

    def __iter__(self):
        """An iterator is its own iterator."""
        return self

    def __next__(self):
        """As ``send(None)``."""
        return self.send(None)

    def send(self, value):
        """As of a coroutine.

        Raises:
            StopIteration: the application has ended, in whatever way.
            asyncio.CancelledError: the task was cancelled.
        """
        cdef PyObject *result = NULL
        if run_send(self, value, &result) == YIELDED:
            return _steal(result)
        _steal(result)
        raise StopIteration

    def throw(self, kind, value=None, traceback=None):
        """As of a coroutine: cancel what the application waits for."""
        error = value if value is not None else kind
        if self._is_over:
            raise error
        try:
            if self._inner is None:
                # It was cancelled before it began.
                raise error
            return self._inner.throw(error)
        except StopIteration as ended:
            self._returned(ended.value)
        except (CancelledError, GeneratorExit):
            self._broken_off()
            raise
        except BaseException as raised:
            self._raised(raised)
        raise StopIteration

    def close(self):
        """As of a coroutine: the application gets ``GeneratorExit``."""
        if self._is_over:
            return
        try:
            if self._inner is not None and hasattr(self._inner, "close"):
                self._inner.close()
        finally:
            self._broken_off()

    @property
    def cycle(self):
        """Of the request; None after the end."""
        return self._cycle

    @property
    def cr_await(self):
        """What is waited for: the application's coroutine."""
        return self._inner

    @property
    def cr_frame(self):
        """The application's frame; None before it began and after it ended."""
        return getattr(self._inner, "cr_frame", None)

    @property
    def cr_running(self):
        """Whether the application is on the stack."""
        return getattr(self._inner, "cr_running", False)

    @property
    def cr_code(self):
        """The application's code."""
        return getattr(self._inner, "cr_code", None)

    # ---- inside

    cdef object _begin(self):
        """Call the application; what it returns is awaited as ``await`` does."""
        awaitable = self._app(
            self._cycle.scope, addax_bind(_receive, self._cycle), addax_bind(_send, self._cycle)
        )
        if PyCoro_CheckExact(awaitable):
            return awaitable
        method = getattr(type(awaitable), "__await__", None)
        if method is None:
            raise TypeError(f"object {type(awaitable).__name__} can't be used in 'await' expression")
        return method(awaitable)

    cdef _returned(self, object result):
        if result is not None or self._cycle.phase != ENDED:
            check_return(result, self._cycle, self._sink)
        self._finish()

    cdef _raised(self, object error):
        try:
            take_error(error, self._cycle, self._sink)
        finally:
            self._finish()

    cdef _broken_off(self):
        try:
            self._sink.fail(self._cycle)
        finally:
            self._finish()

    cdef _finish(self):
        cdef ServerState state = self._state
        cdef HttpCycle cycle = self._cycle
        self._is_over = True
        # The cycle knows its task, and the task keeps this object: a ring that only the collector would open.
        self._app = None
        self._cycle = None
        self._sink = None
        self._state = None
        self._inner = None
        cycle.is_returned = True
        state.active_requests -= 1
        if state.board is not None:
            state.board.end(cycle.slot)
        if cycle.task is not None:
            state.tasks.discard(cycle.task)
        if state.on_quiet is not None and state.active_requests == 0:
            state.on_quiet()


def start_http(app, HttpCycle cycle not None, ResponseSink sink not None, ServerState state not None, dict options):
    """As ``run_app.start_http``."""
    cdef AppRun run = AppRun.__new__(AppRun)
    run._app = app
    run._cycle = cycle
    run._sink = sink
    run._state = state
    # Not ``Task(run, **options)``, which would copy them.
    return PyObject_Call(Task, (run,), options)


cdef object _steal(PyObject *result):
    """A reference that the C API has given away."""
    cdef object owned = <object> result
    _decref(result)
    return owned


cdef extern from "Python.h":
    void _decref "Py_DECREF" (PyObject *thing)


cdef int run_send(AppRun self, object value, PyObject **result) except -1:
    """The slot ``am_send``: one step.

    Returns:
        YIELDED with what the task has to wait for, or RETURNED with None.
    """
    result[0] = NULL
    if self._is_over:
        raise RuntimeError("cannot reuse already awaited coroutine")
    try:
        if self._inner is None:
            self._inner = self._begin()
        if PyIter_Send(self._inner, value, result) == YIELDED:
            return YIELDED
    except (CancelledError, GeneratorExit):
        self._broken_off()
        raise
    except BaseException as error:
        self._raised(error)
    else:
        self._returned(_steal(result[0]))
    Py_INCREF(None)
    result[0] = <PyObject *> None
    return RETURNED


addax_set_am_send(<PyTypeObject *> AppRun, <void *> run_send)


cdef extern from "Python.h":
    void PyErr_SetObject(object kind, object value)


cdef PyObject *received_next(Received self) noexcept:
    """The slot ``tp_iternext`` of ``Received``: its own ``__next__`` without a traceback being made for the end."""
    cdef object message = self._message
    # Of a tuple or an exception it would make something else.
    PyErr_SetObject(StopIteration, message if type(message) is dict else StopIteration(message))
    return NULL


addax_set_iternext(<PyTypeObject *> Received, <void *> received_next)
