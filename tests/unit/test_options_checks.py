"""Checks of all options together, and options from the environment."""

from __future__ import annotations

import os
from typing import Any

import pytest

from addax.config.checks import (
    CONTRADICTIONS,
    as_flag,
    as_parameter,
    check,
    misspelt_variables,
    read_environment,
    respell,
)
from addax.config.options import OPTIONS
from addax.core.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"uds": "x", "fd": 3}, "--uds: cannot be used together with --fd"),
        ({"uds_mode": "660"}, "--uds-mode: has no effect without --uds"),
        (
            {"h11_max_incomplete_event_size": 1, "limit_head_size": 2},
            "--h11-max-incomplete-event-size: is another name of --limit-head-size, and the two differ",
        ),
        (
            {"lifespan": "on", "interface": "wsgi"},
            "--lifespan: a WSGI application has no lifespan events, so 'on' does not go with --interface wsgi",
        ),
        (
            {"forwarded_fields": ["host"], "proxy_headers": False},
            "--forwarded-field: has no effect when --proxy-headers is switched off",
        ),
        (
            {"forwarded_hops": 2, "proxy_headers": False},
            "--forwarded-hops: has no effect when --proxy-headers is switched off",
        ),
        ({"preload": True, "reload": True}, "--preload: cannot be used together with --reload"),
        ({"reuse_port": True, "uds": "x"}, "--reuse-port: is for TCP, not for --uds"),
        ({"reuse_port": True, "fd": 3}, "--reuse-port: cannot be used together with --fd"),
        ({"reuse_port": True, "bind": [":1", "unix:x"]}, "--reuse-port: is for TCP, and not every --bind is"),
        ({"bind": [":1?tls=on", ":2"]}, "--bind: tls=on takes a certificate: --ssl-certfile"),
        (
            {"bind": [":1?tls=off", ":2?tls=off"], "ssl_certfile": "c"},
            "--bind: tls=off is said of every place, so --ssl-certfile has no effect",
        ),
        ({"ssl_keyfile_password": "p"}, "--ssl-keyfile-password: has no effect without --ssl-certfile"),
        ({"ssl_ciphers": "ECDHE"}, "--ssl-ciphers: has no effect without --ssl-certfile"),
        ({"http_redirect": True}, "--http-redirect: has no effect without --ssl-certfile"),
        ({"ssl_ca_certs": "ca"}, "--ssl-ca-certs: has no effect without --ssl-certfile"),
        ({"ssl_cert_reqs": 2}, "--ssl-cert-reqs: has no effect without --ssl-certfile"),
        ({"ssl_extra_certs": ["c"]}, "--ssl-extra-cert: has no effect without --ssl-certfile"),
    ],
)
def test_contradiction_names_both_options(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(values, as_flag)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bind": ":1", "host": "127.0.0.1"}, "--host: cannot be used together with --bind"),
        ({"bind": ":1", "port": 8000}, "--port: cannot be used together with --bind"),
        ({"bind": ":1", "uds": "x"}, "--uds: cannot be used together with --bind"),
        ({"bind": "unix:x", "uds_mode": "660"}, "--uds-mode: cannot be used together with --bind"),
        ({"bind": ":1", "fd": 3}, "--fd: cannot be used together with --bind"),
        ({"bind": ["h:1", "H:1"]}, "--bind: 'h:1' and 'H:1' are the same address"),
        ({"bind": ["h:1", "g:1", "h:1"]}, "--bind: 'h:1' is given twice"),
    ],
)
def test_binds_go_with_no_shorthand_and_not_twice(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(values, as_flag)
    assert str(caught.value) == message


def test_default_of_a_shorthand_counts_only_where_it_was_asked_for() -> None:
    everything = {option.name: option.default for option in OPTIONS} | {"bind": ":1"}
    assert check(everything, counts_defaults=False)["bind"] == [":1"]
    with pytest.raises(ConfigError, match=r"^port: cannot be used together with bind$"):
        check(everything | {"port": "1"}, counts_defaults=False)


def test_every_contradiction_is_tested_above() -> None:
    assert len(CONTRADICTIONS) == 18


def test_values_that_go_together_pass() -> None:
    values = {"uds": "x", "uds_mode": "660", "h11_max_incomplete_event_size": 9, "limit_head_size": 9}
    assert check(values) == values | {"uds_mode": 0o660}


def test_names_are_spelled_as_their_user_does() -> None:
    with pytest.raises(ConfigError, match=r"^reload_dirs: directory") as caught:
        check({"reload_dirs": "/nowhere"}, as_parameter)
    assert respell(caught.value, as_flag).option == "--reload-dir"
    assert respell(ConfigError("--port", "x"), as_parameter).option == "port"
    foreign = ConfigError("WEB_CONCURRENCY", "x")
    assert respell(foreign, as_flag) is foreign


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("http2", True, "not available in addax"),
        ("http", "zttp", "'zttp' is not available in addax"),
        ("loop", "zuvloop", "'zuvloop' is not available in addax"),
    ],
)
def test_what_is_not_there_yet_is_refused(name: str, value: object, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check({name: value})
    assert caught.value.option == name
    assert caught.value.reason.startswith(reason)
    assert caught.value.reason.endswith(" yet")


def test_environment_is_read_by_the_table() -> None:
    environ = {
        "ADDAX_PORT": "1",
        "ADDAX_ACCESS_LOG": "no",
        "ADDAX_HEADERS": "X-A:1  X-B:2",
        "ADDAX_RELOAD_DIRS": os.pathsep.join(["/a b", "", "/c"]),
        "ADDAX_BIND": "127.0.0.1:1\tunix:/x?mode=660\n[::1]:2",
        "ADDAX_HOST": "",
        "ADDAX_CALLBACK_NOTIFY": "x",
        "PORT": "2",
    }
    assert read_environment(environ) == {
        "bind": ["127.0.0.1:1", "unix:/x?mode=660", "[::1]:2"],
        "port": "1",
        "access_log": "no",
        "headers": ["X-A:1", "X-B:2"],
        "reload_dirs": ["/a b", "/c"],
    }


def test_misspelt_variables_are_found() -> None:
    environ = {"ADDAX_PROT": "1", "ADDAX_PORT": "1", "ADDAX_APP": "x", "ADDAX_HOME_BREW": "1", "ADAX_PORT": "1"}
    assert misspelt_variables(environ) == [("ADDAX_PROT", "ADDAX_PORT")]
