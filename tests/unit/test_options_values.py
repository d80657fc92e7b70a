"""What values options take: one form comes out of text and of objects, everything else is refused with a reason."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import pytest

from addax.config.kinds import Kind
from addax.config.options import BY_NAME, OPTIONS

GOOD: list[tuple[str, object, Any]] = [
    ("port", "8080", 8080),
    ("port", " 0 ", 0),
    ("port", 65535, 65535),
    ("backlog", "+1", 1),
    ("limit_body_size", "0", 0),
    ("limit_body_size", "20m", 20 * 1024**2),
    ("limit_body_size", "1GiB", 1024**3),
    ("limit_head_size", "64KB", 65536),
    ("limit_head_size", 5, 5),
    ("timeout_head", "2.5", 2.5),
    ("timeout_head", "3", 3),
    ("timeout_head", 1e3, 1000.0),
    ("timeout_keep_alive", 0, 0),
    ("timeout_graceful_shutdown", "none", None),
    ("access_log", "Yes", True),
    ("access_log", " off ", False),
    ("access_log", 1, True),
    ("access_log", 0, False),
    ("ws_per_message_deflate", "false", False),
    ("lifespan", "ON", "on"),
    ("loop", "my.loops:new", "my.loops:new"),
    ("http", "h11", "h11"),
    ("log_level", "WARNING", "warning"),
    ("log_level", 15, 15),
    ("host", "::1", "::1"),
    ("host", "fe80::1%eth0", "fe80::1%eth0"),
    ("host", "", ""),
    ("host", "*", ""),
    ("host", "example.org", "example.org"),
    ("uds", "app.sock", "app.sock"),
    ("fd", "3", 3),
    ("fd", 0, 0),
    ("fd", "systemd", "systemd"),
    ("fd", " systemd:web ", "systemd:web"),
    ("uds_mode", "660", 0o660),
    ("uds_mode", "0o600", 0o600),
    ("uds_mode", 0o640, 0o640),
    ("root_path", "/api", "/api"),
    ("root_path", "", ""),
    ("headers", ["X-A: b:c "], [("X-A", "b:c")]),
    ("headers", [("x-a", "")], [("x-a", "")]),
    ("headers", [(b"x-a", b"\xe4")], [("x-a", "\xe4")]),
    ("headers", [["x-a", "1"]], [("x-a", "1")]),
    ("forwarded_allow_ips", "10.0.0.0/8, ::1,unix: ,proxy", ["10.0.0.0/8", "::1", "unix:", "proxy"]),
    ("forwarded_allow_ips", ["*"], ["*"]),
    ("forwarded_allow_ips", "", []),
    ("forwarded_allow_ips", " ", []),
    ("forwarded_allow_ips", [""], []),
    ("forwarded_allow_ips", [], []),
    ("forwarded_fields", "host", ["host"]),
    ("forwarded_hops", "2", 2),
    ("forwarded_hops", "none", None),
    ("forwarded_fields", ("port", "forwarded"), ["port", "forwarded"]),
    ("access_format", "combined", "combined"),
    ("access_format", "%(h)s %(s)s", "%(h)s %(s)s"),
    ("app_dir", "", ""),
    ("ssl_keyfile", Path("key.pem"), "key.pem"),
    ("log_config", {"version": 1}, {"version": 1}),
    ("callback_notify", print, print),
]

BAD: list[tuple[str, object, str]] = [
    ("port", 99999, "99999 is not in the range 0 to 65535"),
    ("port", "-1", "-1 is not in the range 0 to 65535"),
    ("port", "http", "'http' is not a whole number"),
    ("port", 80.5, "80.5 is not a whole number"),
    ("port", True, "True is not a whole number"),
    ("port", "1" * 5000, "integer"),
    ("backlog", 0, "0 is not 1 or more"),
    ("limit_concurrency", "0", "0 is not 1 or more"),
    ("limit_head_size", "64 k", "is not a size"),
    ("limit_head_size", "-1", "is not a size"),
    ("limit_head_size", 1.5, "is not a whole number of bytes"),
    ("limit_head_size", 0, "0 is not 1 or more"),
    ("timeout_head", "0", "0 is not more than 0"),
    ("timeout_head", -1, "-1 is not more than 0"),
    ("timeout_keep_alive", -0.5, "-0.5 is not 0 or more"),
    ("timeout_head", "soon", "'soon' is not a number of seconds"),
    ("timeout_head", math.nan, "nan is not a number of seconds"),
    ("timeout_head", "inf", "inf is not a number of seconds"),
    ("timeout_head", True, "True is not a number of seconds"),
    ("timeout_head", [], "is not a number of seconds"),
    ("access_log", "maybe", "'maybe' is neither yes nor no"),
    ("access_log", 2, "2 is neither yes nor no"),
    ("access_log", [], "[] is neither yes nor no"),
    ("access_log", 1.0, "1.0 is neither yes nor no"),
    ("lifespan", "maybe", "'maybe' is not one of auto, on, off"),
    ("loop", "a:", "'a:' is not one of auto, uvloop, asyncio, none, or module:factory"),
    ("loop", 3, "3 is not a name"),
    ("http", int, "asyncio protocol classes of other servers do not fit"),
    ("log_level", "loud", "'loud' is not one of critical"),
    ("log_level", -1, "-1 is not 0 or more"),
    ("log_level", True, "True is not one of"),
    ("host", "http://x", "leave scheme and path out"),
    ("host", "[::1]", "without brackets"),
    ("host", "127.0.0.1:80", "neither a host nor an IPv6 address"),
    ("host", "a b", "white space"),
    ("host", 3, "3 is not text"),
    ("fd", "systemd:", "'systemd:' is not a whole number, nor systemd, nor systemd:NAME"),
    ("fd", "launchd", "'launchd' is not a whole number, nor systemd, nor systemd:NAME"),
    ("fd", -1, "-1 is not 0 or more"),
    ("uds", "", "the path is empty"),
    ("uds", "@name", "is an abstract socket"),
    ("uds", "/nowhere/at/all/x.sock", "directory '/nowhere/at/all' does not exist"),
    ("uds", os.path.dirname(__file__), "is a directory"),
    ("uds_mode", "999", "'999' is not an octal mode"),
    ("uds_mode", 0o1777, "is not an octal mode"),
    ("uds_mode", True, "is not an octal mode"),
    ("root_path", "api", "'api' does not start with '/'"),
    ("root_path", "/a?b", "is not a path"),
    ("root_path", "/a\nb", "is not a path"),
    ("headers", ["X-A"], "'X-A' has no colon"),
    ("headers", ["X A: b"], "'X A' is not a field name"),
    ("headers", [": b"], "'' is not a field name"),
    ("headers", [("x-a", "b\r\nset-cookie: c")], "the value of 'x-a' holds line breaks"),
    ("headers", [("x-a", "\u20ac")], "outside of ISO-8859-1"),
    ("headers", ["Content-Length: 3"], "'Content-Length' is set by the server"),
    ("headers", [("x-a", 3)], "is not a pair of texts"),
    ("headers", [3], "3 is not a pair of texts"),
    ("forwarded_allow_ips", "10.0.0.1/8", "'10.0.0.1/8' is an address inside of a network; did you mean 10.0.0.0/8"),
    ("forwarded_allow_ips", "10.0.0.0/8,,::1", "an item is empty"),
    ("forwarded_allow_ips", "10.0.0.0/8,", "an item is empty"),
    ("forwarded_allow_ips", ["", "::1"], "an item is empty"),
    ("forwarded_allow_ips", "10.0.0.0/99", "'10.0.0.0/99' is not a network"),
    ("forwarded_allow_ips", ["10.0.0.300"], "'10.0.0.300' is not an IP address"),
    ("forwarded_allow_ips", "::g", "'::g' is not an IP address"),
    ("forwarded_allow_ips", 3, "3 is neither text nor a list"),
    ("forwarded_allow_ips", b"::1", "is neither text nor a list"),
    ("forwarded_allow_ips", [3], "3 is not text"),
    ("forwarded_allow_ips", "10.0.0.1 10.0.0.2", "write a comma between items"),
    ("forwarded_hops", 0, "0 is not in the range 1 to 64"),
    ("forwarded_hops", "65", "65 is not in the range 1 to 64"),
    ("forwarded_fields", ["hosts"], "'hosts' is not one of host, port, prefix, forwarded"),
    ("access_format", "comon", "did you mean common"),
    ("access_format", "%(nonsense)s", "unknown atom"),
    ("env_file", "/nowhere/.env", "file '/nowhere/.env' does not exist"),
    ("env_file", os.path.dirname(__file__), "is a directory, not a file"),
    ("log_config", "/nowhere/log.json", "file '/nowhere/log.json' does not exist"),
    ("reload_dirs", ["/nowhere"], "directory '/nowhere' does not exist"),
    ("callback_notify", 3, "3 cannot be called"),
]


@pytest.mark.parametrize(("name", "value", "expected"), GOOD)
def test_good_value_is_read_and_reading_it_again_changes_nothing(name: str, value: object, expected: Any) -> None:
    option = BY_NAME[name]
    read = option.read(value)
    assert read == expected
    assert type(read) is type(expected)
    assert option.read(read) == read


@pytest.mark.parametrize(("name", "value", "reason"), BAD)
def test_bad_value_is_refused_with_its_reason(name: str, value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        BY_NAME[name].read(value)
    assert "\n" not in str(caught.value)


def test_existing_paths_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "x.env"
    file.touch()
    assert BY_NAME["env_file"].read(file) == str(file)
    assert BY_NAME["log_config"].read(file) == str(file)
    assert BY_NAME["reload_dirs"].read([tmp_path]) == [str(tmp_path)]


def test_settings_get_numbers_and_bytes() -> None:
    seconds = BY_NAME["timeout_head"].to_setting(3)
    assert (seconds, type(seconds)) == (3.0, float)
    assert BY_NAME["timeout_graceful_shutdown"].to_setting(None) is None
    assert BY_NAME["headers"].to_setting([("X-A", "\xe4")]) == ((b"x-a", b"\xe4"),)
    assert BY_NAME["forwarded_allow_ips"].to_setting(["::1"]) == ("::1",)
    assert BY_NAME["port"].to_setting(1) == 1


def test_every_kind_says_what_it_allows() -> None:
    said = {option.name: option.kind.allowed() for option in OPTIONS}
    assert said["port"] == "0 to 65535"
    assert said["timeout_head"] == "more than 0"
    assert said["uds_mode"] == "octal, 0 to 777"
    assert said["log_level"] == "critical, error, warning, info, debug, trace"
    assert said["access_log"] == ""
    assert said["uds"] == ""
    assert said["access_format"].startswith("uvicorn, json, common, combined, or a template")
    assert BY_NAME["http"].kind.placeholder() == "[auto|native|httptools|h11|module:Class]"
    assert BY_NAME["log_level"].kind.placeholder() == "[critical|error|warning|info|debug|trace]"


def test_a_kind_has_to_read() -> None:
    with pytest.raises(NotImplementedError):
        Kind().read("x")
