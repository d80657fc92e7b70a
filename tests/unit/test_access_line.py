"""Access lines without a record: the same bytes as with one, and only where nobody wants the record."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from addax.asgi.exchange import HttpExchange
from addax.config.formatters import DIRECT_FORMAT, AccessFormatter, JsonFormatter, TemplateAccessFormatter
from addax.observe.access import DELAY_S, AccessLog
from addax.observe.handler import AccessHandler
from addax.observe.line import REMEMBERED_MAX_COUNT

LOGGER = "addax.test.line"


def make_exchange(status: int = 200, outcome: str = "completed", **scope: Any) -> HttpExchange:
    exchange = HttpExchange(
        {
            "type": "http",
            "method": "GET",
            "path": "/a",
            "query_string": b"",
            "http_version": "1.1",
            "scheme": "http",
            "client": ("127.0.0.1", 40524),
            "headers": [],
            **scope,
        }
    )
    exchange.status = status
    exchange.outcome = outcome
    exchange.ended_at = exchange.started_at + 0.5
    return exchange


class Keeper(logging.Handler):
    """Keeps the records that it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Timers:
    """Stands in for an event loop's ``call_later``."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, delay: float, call: Callable[[], None]) -> None:
        self.calls.append((delay, call))

    def fire(self) -> None:
        ((_, call),) = self.calls
        self.calls.clear()
        call()


class Set:
    """An access log with the built-in handler on a stream in memory."""

    def __init__(self, formatter: logging.Formatter, handler_class: type[AccessHandler] = AccessHandler) -> None:
        self.stream = io.StringIO()
        self.handler = handler_class(self.stream)
        self.handler.setFormatter(formatter)
        self.logger = logging.getLogger(LOGGER)
        self.logger.handlers = [self.handler]
        self.logger.filters = []
        self.logger.propagate = False
        self.logger.setLevel(logging.INFO)
        self.timers = Timers()
        self.log = AccessLog(LOGGER, self.timers)

    def record(self, path: str) -> None:
        self.log.record(make_exchange(path=path))

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def paths(self) -> list[str]:
        """Of the lines that were written."""
        return [line.split('"')[1].split()[1] for line in self.text.splitlines()]


@pytest.fixture(autouse=True)
def _logger() -> Iterator[None]:
    yield
    logger = logging.getLogger(LOGGER)
    for handler in logger.handlers:
        handler.flush()
    logger.handlers = []
    logger.filters = []
    logger.setLevel(logging.NOTSET)
    logger.propagate = True
    logger.disabled = False


def plain() -> Set:
    return Set(AccessFormatter(DIRECT_FORMAT, use_colors=False))


# --- The same bytes ---------------------------------------------------------------------------------------------------

#: All of ASCII, and one or two of each kind beyond it.
ALPHABET = [*map(chr, range(128)), *"\x80\x85\xa0éß\u200e\u2028\u202e€中\ud800\udce9\ufeff\U0001f600\U000e0001"]
ANY_TEXT = st.text(st.sampled_from(ALPHABET), max_size=40)
CLIENTS = st.one_of(
    st.none(),
    st.just(("127.0.0.1", 40524)),
    st.just(("2001:db8::1", 1)),
    st.just(["127.0.0.1", 5]),
    st.tuples(ANY_TEXT, st.integers(0, 65535)),
    st.tuples(st.just("127.0.0.1"), st.sampled_from([1, True, 1.0, None, "1"])),
)
SCOPES = st.fixed_dictionaries(
    {
        "client": CLIENTS,
        "method": st.one_of(st.sampled_from(["GET", "POST", "QUERY"]), ANY_TEXT),
        "path": st.one_of(st.just("/"), st.from_regex(r"/[a-z/_.~-]{0,60}", fullmatch=True), ANY_TEXT),
        "query_string": st.one_of(st.just(b""), st.from_regex(rb"[a-z]=[0-9&%]{0,30}", fullmatch=True), st.binary()),
        "http_version": st.sampled_from(["1.0", "1.1", "2"]),
    }
)


@pytest.mark.parametrize("use_colors", [False, True])
def test_a_line_is_what_the_formatter_makes_of_the_record(use_colors: bool) -> None:
    formatter = AccessFormatter(DIRECT_FORMAT, use_colors=use_colors)
    direct, keeper = Set(formatter), Keeper()

    # How long it takes to make them up says nothing, on a machine that is busy.
    @settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(
        st.lists(st.tuples(SCOPES, st.integers(100, 599) | st.just(0), st.sampled_from(["disconnected", "aborted"])))
    )
    def check(exchanges: list[tuple[dict[str, Any], int, str]]) -> None:
        expected = ""
        direct.stream.seek(0)
        direct.stream.truncate()
        for scope, status, outcome in exchanges:
            exchange = make_exchange(status, outcome, **scope)
            direct.logger.handlers = [direct.handler]
            direct.log.record(exchange)
            direct.log.flush()
            direct.logger.handlers = [keeper]
            AccessLog(LOGGER).record(exchange)
            expected += formatter.format(keeper.records[-1]) + "\n"
        assert direct.text == expected

    check()


def test_lines_of_the_built_in_format_need_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    given_set = plain()
    monkeypatch.setattr(AccessFormatter, "format", lambda *_: pytest.fail("a record was formatted"))
    given_set.record("/a")
    given_set.log.flush()
    assert given_set.text == 'INFO:     127.0.0.1:40524 - "GET /a HTTP/1.1" 200 OK\n'


class Shouting(AccessFormatter):
    def get_status_code(self, status_code: int) -> str:
        return f"{status_code}!"


@pytest.mark.parametrize(
    ("formatter", "line"),
    [
        (Shouting(DIRECT_FORMAT, use_colors=False), 'INFO:     127.0.0.1:40524 - "GET /a HTTP/1.1" 200!\n'),
        (AccessFormatter("%(duration_s).1f %(levelname)s", use_colors=False), "0.5 INFO\n"),
        (AccessFormatter("{request_line}", style="{", use_colors=True), "\x1b[1mGET /a HTTP/1.1\x1b[0m\n"),
        (TemplateAccessFormatter("%(h)s %(U)s %(s)s"), "127.0.0.1 /a 200\n"),
        (logging.Formatter("%(name)s: %(message)s"), f'{LOGGER}: 127.0.0.1:40524 - "GET /a HTTP/1.1" 200\n'),
    ],
)
def test_other_formatters_get_a_record_and_their_lines_wait_too(formatter: logging.Formatter, line: str) -> None:
    given_set = Set(formatter)
    given_set.record("/a")
    assert given_set.text == ""
    given_set.timers.fire()
    assert given_set.text == line


def test_json_lines_wait_too() -> None:
    given_set = Set(JsonFormatter())
    given_set.record("/a")
    assert given_set.text == ""
    given_set.timers.fire()
    assert '"path":"/a"' in given_set.text


def test_a_formatter_that_fails_costs_its_line_only(capsys: pytest.CaptureFixture[str]) -> None:
    given_set = Set(logging.Formatter("%(missing)s"))
    given_set.record("/a")
    assert "KeyError: 'missing'" in capsys.readouterr().err
    given_set.handler.setFormatter(AccessFormatter(DIRECT_FORMAT, use_colors=False))
    given_set.record("/b")
    given_set.log.flush()
    assert given_set.paths == ["/b"]


def test_many_clients_are_told_apart() -> None:
    given_set = plain()
    for _ in range(2):
        for number in range(REMEMBERED_MAX_COUNT + 10):
            given_set.log.record(make_exchange(client=("127.0.0.1", number)))
    given_set.log.flush()
    expected = [f"127.0.0.1:{number}" for number in range(REMEMBERED_MAX_COUNT + 10)] * 2
    assert [line.split()[1] for line in given_set.text.splitlines()] == expected


def test_a_name_of_the_level_that_changes_is_in_the_next_lines() -> None:
    given_set = plain()
    logging.addLevelName(logging.INFO, "info")
    try:
        given_set.record("/a")
        given_set.log.flush()
    finally:
        logging.addLevelName(logging.INFO, "INFO")
    assert given_set.text.startswith("info:     127")


# --- When lines are written -------------------------------------------------------------------------------------------


def test_lines_wait_for_one_timer() -> None:
    given_set = plain()
    for path in ("/a", "/b", "/c"):
        given_set.record(path)
    assert given_set.text == ""
    assert [delay for delay, _ in given_set.timers.calls] == [DELAY_S]
    given_set.timers.fire()
    assert given_set.paths == ["/a", "/b", "/c"]
    given_set.record("/d")
    given_set.timers.fire()
    assert given_set.paths[3:] == ["/d"]


def test_lines_wait_less_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    given_set = plain()
    monkeypatch.setattr(given_set.stream, "isatty", lambda: True, raising=False)
    given_set.record("/a")
    assert given_set.timers.calls[0][0] < DELAY_S


def test_without_an_event_loop_each_line_is_written_at_once() -> None:
    given_set = plain()
    AccessLog(LOGGER).record(make_exchange(path="/a"))
    assert given_set.paths == ["/a"]


def test_no_line_waits_once_the_log_is_closed() -> None:
    given_set = plain()
    given_set.record("/a")
    given_set.log.close()
    assert given_set.paths == ["/a"]
    given_set.timers.calls.clear()
    given_set.record("/b")
    given_set.record("/c")
    assert given_set.paths == ["/a", "/b", "/c"]
    assert given_set.timers.calls == []


# --- Changes while lines wait -----------------------------------------------------------------------------------------


def test_a_handler_that_is_added_gets_the_next_record_and_the_order_stays() -> None:
    given_set, keeper = plain(), Keeper()
    given_set.record("/a")
    given_set.logger.addHandler(keeper)
    given_set.record("/b")
    assert given_set.paths == ["/a", "/b"]
    assert [record.__dict__["path"] for record in keeper.records] == ["/b"]
    given_set.logger.removeHandler(keeper)
    given_set.record("/c")
    given_set.log.flush()
    assert given_set.paths == ["/a", "/b", "/c"]
    assert len(keeper.records) == 1


def test_a_handler_that_takes_the_place_gets_the_next_record() -> None:
    given_set, keeper = plain(), Keeper()
    given_set.record("/a")
    given_set.logger.removeHandler(given_set.handler)
    given_set.logger.addHandler(keeper)
    given_set.record("/b")
    assert given_set.paths == ["/a"]
    assert len(keeper.records) == 1


@pytest.mark.parametrize("place", ["logger", "handler"])
def test_a_filter_that_is_added_is_asked_for_the_next_line(place: str) -> None:
    given_set = plain()
    given_set.record("/a")
    getattr(given_set, place).addFilter(lambda record: record.__dict__["path"] != "/health")
    for path in ("/health", "/b"):
        given_set.record(path)
    given_set.log.flush()
    assert given_set.paths == ["/a", "/b"]


def no_level(given_set: Set) -> None:
    given_set.logger.setLevel(logging.WARNING)


def no_handler_level(given_set: Set) -> None:
    given_set.handler.setLevel(logging.WARNING)


def no_logger(given_set: Set) -> None:
    given_set.logger.disabled = True


def no_handlers(given_set: Set) -> None:
    given_set.logger.handlers = []


@pytest.mark.parametrize("change", [no_level, no_handler_level, no_logger, no_handlers])
def test_other_changes_are_noticed_when_no_line_waits(change: Callable[[Set], None]) -> None:
    given_set = plain()
    given_set.record("/a")
    change(given_set)
    given_set.timers.fire()
    given_set.record("/b")
    given_set.log.flush()
    assert given_set.paths == ["/a"]


def test_a_new_formatter_is_used_when_no_line_waits() -> None:
    given_set = plain()
    given_set.record("/a")
    given_set.handler.setFormatter(TemplateAccessFormatter("%(m)s %(s)s"))
    given_set.timers.fire()
    given_set.record("/b")
    given_set.log.flush()
    assert given_set.text.splitlines()[1] == "GET 200"


def test_colours_can_be_switched_when_no_line_waits() -> None:
    given_set = plain()
    assert isinstance(given_set.handler.formatter, AccessFormatter)
    given_set.handler.formatter.use_colors = True
    given_set.record("/a")
    given_set.log.flush()
    assert given_set.text == (
        '\x1b[32mINFO\x1b[0m:     127.0.0.1:40524 - "\x1b[1mGET /a HTTP/1.1\x1b[0m" \x1b[32m200 OK\x1b[0m\n'
    )


# --- Who else sees records --------------------------------------------------------------------------------------------


def test_handlers_of_parents_get_records() -> None:
    given_set, keeper = plain(), Keeper()
    parent = logging.getLogger("addax.test")
    parent.addHandler(keeper)
    given_set.logger.propagate = True
    try:
        given_set.record("/a")
    finally:
        parent.removeHandler(keeper)
    assert given_set.paths == ["/a"]
    assert len(keeper.records) == 1


class Counting(AccessHandler):
    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        super().emit(record)


def test_a_subclass_of_the_handler_gets_records() -> None:
    given_set = Set(AccessFormatter(DIRECT_FORMAT, use_colors=False), Counting)
    given_set.record("/a")
    assert given_set.paths == ["/a"]
    assert isinstance(given_set.handler, Counting)
    assert given_set.handler.count == 1


def test_a_library_that_wraps_a_method_of_logging_sees_records(monkeypatch: pytest.MonkeyPatch) -> None:
    given_set = plain()
    original = logging.Logger.callHandlers
    seen: list[logging.LogRecord] = []

    def wrapper(self: logging.Logger, record: logging.LogRecord) -> None:
        seen.append(record)
        original(self, record)

    monkeypatch.setattr(logging.Logger, "callHandlers", wrapper)
    given_set.record("/a")
    assert given_set.paths == ["/a"]
    assert len(seen) == 1


def test_a_record_factory_is_asked_for_records() -> None:
    given_set = Set(AccessFormatter(DIRECT_FORMAT, use_colors=False))
    original = logging.getLogRecordFactory()

    def factory(*args: Any, **options: Any) -> logging.LogRecord:
        record = original(*args, **options)
        record.args = ("-", *record.args[1:]) if isinstance(record.args, tuple) else record.args
        return record

    logging.setLogRecordFactory(factory)
    try:
        given_set.record("/a")
    finally:
        logging.setLogRecordFactory(original)
    given_set.log.flush()
    assert given_set.text == 'INFO:     - - "GET /a HTTP/1.1" 200 OK\n'


def test_a_scope_that_the_application_broke_is_an_error_line(caplog: pytest.LogCaptureFixture) -> None:
    given_set = plain()
    exchange = make_exchange()
    del exchange.scope["path"]
    with caplog.at_level(logging.ERROR, "addax.error"):
        given_set.log.record(exchange)
    given_set.record("/b")
    given_set.log.flush()
    assert given_set.paths == ["/b"]
    assert "A line of the access log could not be written" in caplog.text
