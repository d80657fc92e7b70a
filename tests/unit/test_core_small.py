"""core.clock, core.status, core.registry, core.errors."""

from __future__ import annotations

import sys

import pytest

from addax.core import clock
from addax.core.errors import ClientDisconnected, ConfigError, LocalProtocolError, RemoteProtocolError
from addax.core.registry import LOOPS, PARSERS, resolve
from addax.core.status import STATUS_LINES, may_have_body
from tests.parsers import USABLE_PARSERS, is_compiled


def test_date_line_is_an_imf_fixdate_and_changes_with_the_second(monkeypatch: pytest.MonkeyPatch):
    now = 784111777.9
    monkeypatch.setattr(clock, "_wall_clock", lambda: now)
    assert clock.date_line() == b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    assert clock.date_line() is clock.date_line()
    now = 784111778.0
    assert clock.date_line() == b"date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"


def test_status_lines():
    assert STATUS_LINES[200] == b"HTTP/1.1 200 OK\r\n"
    assert STATUS_LINES[413] == b"HTTP/1.1 413 Content Too Large\r\n"
    assert STATUS_LINES[599] == b"HTTP/1.1 599 \r\n"
    assert sorted(STATUS_LINES) == list(range(100, 600))


def test_statuses_without_a_body():
    assert [status for status in (100, 200, 204, 205, 304, 404) if may_have_body(status)] == [200, 205, 404]


def test_auto_takes_the_first_that_is_installed():
    name, parser = resolve("--http", "auto", PARSERS)
    assert name == USABLE_PARSERS[0]
    assert parser.__name__ == ("NativeParser" if is_compiled() else "HttptoolsParser")
    table = {"missing": "no_such_package:X", "asyncio": LOOPS["asyncio"]}
    assert resolve("--loop", "auto", table)[0] == "asyncio"


def test_auto_with_nothing_installed_says_what_was_looked_for():
    with pytest.raises(ConfigError, match="none of missing is installed"):
        resolve("--loop", "auto", {"missing": "no_such_package:X"})


def test_module_and_attribute_are_imported():
    assert resolve("--loop", "asyncio:new_event_loop", LOOPS)[1].__name__ == "new_event_loop"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nope", "'nope' is not one of auto, native, httptools, h11, or module:attribute"),
        ("no_such_package:X", "No module named 'no_such_package'"),
        ("asyncio:nope", "has no attribute 'nope'"),
    ],
)
def test_unusable_names_are_config_errors(name: str, message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        resolve("--http", name, PARSERS)
    assert caught.value.option == "--http"
    assert caught.value.exit_code == 2


@pytest.mark.skipif(not is_compiled(), reason="plain Python: every test leaves the native parser out")
def test_tests_run_over_all_parsers():
    assert tuple(PARSERS) == USABLE_PARSERS
    assert resolve("--http", "native", PARSERS)[1].__name__ == "NativeParser"


def test_native_without_the_compiled_core_says_what_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "addax.http1.native", None)
    with pytest.raises(ConfigError, match=r"'native' cannot be used: .*compiled core.* C compiler") as caught:
        resolve("--http", "native", PARSERS)
    assert caught.value.option == "--http"
    assert "standard" not in str(caught.value)
    assert resolve("--http", "auto", PARSERS)[0] == "httptools"


def test_a_missing_extra_is_named():
    with pytest.raises(ConfigError, match=r"addax\[standard\]"):
        resolve("--http", "x", {"x": "no_such_package:X"})


def test_errors_are_what_applications_catch_today():
    assert issubclass(LocalProtocolError, RuntimeError)
    assert issubclass(ClientDisconnected, OSError)
    error = RemoteProtocolError("why", 431)
    assert (str(error), error.status) == ("why", 431)
