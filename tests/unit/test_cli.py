"""The command line: from arguments and environment to a Config, and what is said when that fails."""

from __future__ import annotations

import logging
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import addax
from addax import _run, cli
from addax.config import capacity
from addax.config.capacity import Capacity
from addax.config.config import Config
from addax.config.options import GROUPS, OPTIONS
from addax.core import registry
from addax.core.errors import AppLoadError, StartupError

FORMS = "write host:port, [v6]:port, unix:path, fd://number, systemd or systemd:NAME"
LOGGERS = ("addax", "addax.error", "addax.access", "addax.asgi")


@pytest.fixture(autouse=True)
def _untouched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An empty current directory and environment; logging and ``sys.path`` as they were before."""
    for name in [name for name in os.environ if name.startswith("ADDAX_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(log, log.level, list(log.handlers), log.propagate) for log in loggers]
    yield
    for log, level, handlers, propagate in before:
        log.setLevel(level)
        log.handlers[:] = handlers
        log.propagate = propagate


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """What would have been served."""
    configs: list[Config] = []
    monkeypatch.setattr(_run, "serve", configs.append)
    return configs


def call(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(cli.main, list(arguments), env=environment, prog_name="addax")


def test_package_offers_the_command() -> None:
    assert addax.main is cli.main
    assert isinstance(addax.main, click.Command)


def test_defaults_are_those_of_config(served: list[Config]) -> None:
    assert call("main:app").exit_code == 0
    (config,) = served
    plain = Config("main:app")
    different = {option.name for option in OPTIONS if getattr(config, option.name) != getattr(plain, option.name)}
    assert config.app == "main:app"
    assert different == {"app_dir"}
    assert config.app_dir == ""
    assert sys.path[0] == ""


def test_every_option_reaches_config(served: list[Config], tmp_path: Path) -> None:
    (tmp_path / "x.env").touch()
    (tmp_path / "log.json").write_text('{"version": 1, "disable_existing_loggers": false}')
    line = (
        "main:app --host ::1 --port 1 --uds u --uds-mode 600 --backlog 2 --loop asyncio --http h11 --ws none "
        "--ws-max-size 1k --ws-max-queue 3 --ws-ping-interval none --ws-ping-timeout 4 --ws-per-message-deflate false "
        "--lifespan off --interface asgi3 --env-file x.env --log-config log.json --log-level debug --log-format json "
        "--no-access-log --access-format common --use-colors --no-proxy-headers --no-server-header --no-date-header "
        "--forwarded-allow-ips * --root-path /r --limit-concurrency 5 --limit-max-requests 6 "
        "--limit-max-requests-jitter 7 --limit-request-line 8 --limit-head-size 9 --limit-header-count 10 "
        "--limit-body-size 11 --limit-body-buffer 12 --limit-pipeline-size 13 --limit-write-buffer 14 "
        "--timeout-head 1.5 --timeout-body 2 --timeout-write 3 --timeout-keep-alive 4 --timeout-graceful-shutdown 0 "
        "--timeout-shutdown-notice 6 --timeout-shutdown-delay 8 --timeout-lifespan-startup 7 "
        "--timeout-lifespan-shutdown none "
        "--timeout-worker-healthcheck 8 --header A:b --header C:d --factory --reset-contextvars --app-dir . "
        "--reload-dir . --reload-include *.x --reload-exclude *.y --reload-delay 9 --workers 1 "
        "--ws-max-frame-size 12 --ws-handshake-timeout 3 --ws-close-timeout 4 --ws-max-lifetime 5 "
        "--ws-allowed-origin https://a.test --ws-allowed-origin https://*.b.test --limit-max-requests-ws "
        "--supervise --preload --limit-max-memory 1g --limit-worker-lifetime 60 --timeout-worker-startup 9 "
        "--timeout-worker-stall 2 --hooks deploy.hooks "
        "--allowed-host example.com --allowed-host *.example.com --proxy-protocol "
        "--pid-file p --process-title t --user u --group g "
        "--ssl-keyfile k --ssl-certfile c --ssl-keyfile-password x --ssl-version 5 --ssl-cert-reqs 2 --ssl-ca-certs a "
        "--ssl-ciphers AES --ssl-extra-cert d --ssl-extra-cert e,f --ssl-handshake-timeout 3 --ssl-max-handshakes 4 "
        "--ssl-expiry-warning 5 --http-redirect"
    )
    result = call(*line.split())
    assert result.exit_code == 0, result.output
    (config,) = served
    untouched = {
        option.name
        for option in OPTIONS
        if option.in_cli and (getattr(config, option.name) or None) == (option.default or None)
    }
    assert untouched == {
        *("bind", "fd", "reload", "reuse_port", "http2", "h11_max_incomplete_event_size"),
        # These do not go with --no-proxy-headers.
        *("forwarded_fields", "forwarded_hops"),
    }
    assert config.ssl_extra_certs == [("d", None), ("e", "f")]
    assert config.headers == [("A", "b"), ("C", "d")]
    assert (config.ws_ping_interval, config.timeout_lifespan_shutdown) == (None, None)
    assert (config.access_log, config.use_colors, config.limit_body_size) == (False, True, 11)


def test_hosts_have_a_flag_in_the_plural_too(served: list[Config]) -> None:
    assert call("main:app", "--allowed-hosts", "a.test", "--allowed-host", "b.test").exit_code == 0
    assert served[0].allowed_hosts == ["a.test", "b.test"]


def test_options_about_proxies_reach_config(served: list[Config]) -> None:
    assert call("main:app", "--forwarded-field", "host", ADDAX_FORWARDED_HOPS="2").exit_code == 0
    assert call("main:app", "--forwarded-hops", "none", ADDAX_FORWARDED_HOPS="2").exit_code == 0
    assert [config.settings().proxy.hops_count for config in served] == [2, None]
    assert served[0].settings().proxy.fields == {"host"}


@pytest.mark.parametrize(
    ("arguments", "environment", "lines"),
    [
        (["--workers", "auto"], {}, ["Workers: 3 (auto: 3 of 8 cores by cgroup quota 2.5)."]),
        (["--workers", " AUTO "], {}, ["Workers: 3 (auto: 3 of 8 cores by cgroup quota 2.5)."]),
        ([], {"WEB_CONCURRENCY": "auto"}, ["Workers: 3 (auto: 3 of 8 cores by cgroup quota 2.5)."]),
        ([], {"ADDAX_WORKERS": "auto"}, ["Workers: 3 (auto: 3 of 8 cores by cgroup quota 2.5)."]),
        (["--workers", "3"], {"WEB_CONCURRENCY": "auto"}, []),
        # Nothing comes of the number then.
        (["--workers", "auto", "--reload"], {}, []),
    ],
)
def test_start_says_how_many_workers_auto_is_and_why(
    arguments: list[str],
    environment: dict[str, str],
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    counts: list[object] = []
    monkeypatch.setattr(capacity, "find_capacity", lambda: Capacity(3, "3 of 8 cores by cgroup quota 2.5"))
    monkeypatch.setattr(_run, "supervise", lambda config: counts.append(config.settings().supervisor.workers_count))
    caplog.set_level("INFO", "addax.error")
    result = call("main:app", "--log-config", _propagating(), *arguments, **environment)
    assert (result.exit_code, counts) == (0, [3]), result.output
    assert caplog.messages == lines


def test_one_worker_that_serves_alone_is_explained_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(capacity, "find_capacity", lambda: Capacity(1, "1 core"))
    monkeypatch.setattr(_run, "_serve_alone", lambda config: None)
    caplog.set_level("INFO", "addax.error")
    assert call("main:app", "--log-config", _propagating(), "--workers", "auto").exit_code == 0
    assert caplog.messages == ["Workers: 1 (auto: 1 core)."]


def test_environment_is_used_and_the_command_line_goes_before_it(served: list[Config]) -> None:
    result = call(
        *("--port", "2"),
        ADDAX_APP="main:app",
        ADDAX_PORT="1",
        ADDAX_HEADERS="X-A:1 X-B:2",
        ADDAX_ACCESS_LOG="false",
        ADDAX_BACKLOG="",
    )
    assert result.exit_code == 0, result.output
    (config,) = served
    assert (config.app, config.port, config.access_log, config.backlog) == ("main:app", 2, False, 2048)
    assert config.headers == [("X-A", "1"), ("X-B", "2")]


def test_binds_of_the_command_line_take_the_place_of_the_environments(served: list[Config]) -> None:
    assert call("main:app", ADDAX_BIND=":1 unix:u").exit_code == 0
    assert call("main:app", "--bind", ":3", "--bind", "fd://4", ADDAX_BIND=":1 unix:u").exit_code == 0
    assert [config.bind for config in served] == [[":1", "unix:u"], [":3", "fd://4"]]


def test_flag_on_the_command_line_goes_before_the_environment(served: list[Config]) -> None:
    call("main:app", "--access-log", "--no-date-header", ADDAX_ACCESS_LOG="no", ADDAX_DATE_HEADER="yes")
    assert (served[0].access_log, served[0].date_header) == (True, False)


@pytest.mark.parametrize(
    ("arguments", "environment", "line"),
    [
        (["--port", "99999"], {}, "--port: 99999 is not in the range 0 to 65535"),
        (
            [],
            {"ADDAX_PORT": "99999"},
            "--port: 99999 is not in the range 0 to 65535 (from the environment variable ADDAX_PORT)",
        ),
        (
            [],
            {"ADDAX_RELOAD_DIRS": "/nowhere"},
            "--reload-dir: directory '/nowhere' does not exist (from the environment variable ADDAX_RELOAD_DIRS)",
        ),
        (["--port", "-1"], {"ADDAX_PORT": "1", "ADDAX_HOST": "::1"}, "--port: -1 is not in the range 0 to 65535"),
        (["--uds", "x", "--fd", "3"], {}, "--uds: cannot be used together with --fd"),
        (["--http2"], {}, "--http2: not available in addax 0.1.0 yet"),
        ([], {"WEB_CONCURRENCY": "0"}, "WEB_CONCURRENCY: 0 is not 1 or more, nor auto"),
        (["--preload", "--reload"], {}, "--preload: cannot be used together with --reload"),
        (["--reuse-port", "--uds", "x"], {}, "--reuse-port: is for TCP, not for --uds"),
        (["--bind", ":1", "--port", "1"], {}, "--port: cannot be used together with --bind"),
        (
            ["--bind", ":1"],
            {"ADDAX_PORT": "1"},
            "--port: cannot be used together with --bind (from the environment variable ADDAX_PORT)",
        ),
        (
            ["--port", "1"],
            {"ADDAX_BIND": ":1 :2"},
            "--port: cannot be used together with --bind (from the environment variable ADDAX_BIND)",
        ),
        (["--bind", "launchd"], {}, f"--bind: 'launchd' is not known, or has no port: {FORMS}"),
        (
            ["--forwarded-allow-ips", "127.0.0.1,10.0.0.1/8"],
            {},
            "--forwarded-allow-ips: '10.0.0.1/8' is an address inside of a network; did you mean 10.0.0.0/8, or "
            "10.0.0.1 alone?",
        ),
        (
            [],
            {"FORWARDED_ALLOW_IPS": "10.0.0.1,"},
            "FORWARDED_ALLOW_IPS: an item is empty: there are two commas in a row, or one at an end",
        ),
        (
            ["--bind", "systemd:web", "--bind", ":1", "--bind", "systemd"],
            {},
            "--bind: 'systemd' and 'systemd:web' are the same address",
        ),
        (["--bind", "systemd", "--reuse-port"], {}, "--reuse-port: is for TCP, and not every --bind is"),
        (["--header", "X"], {}, "--header: 'X' has no colon: write Name:Value"),
        (["--log-level", "loud"], {}, "--log-level: 'loud' is not one of critical, error, warning, info, debug, trace"),
        (["main:app", "extra"], {}, "Got unexpected extra argument (extra)"),
    ],
)
def test_wrong_option_is_one_line_and_exit_code_2(
    served: list[Config], arguments: list[str], environment: dict[str, str], line: str
) -> None:
    result = call("--app-dir", "", *arguments, **{"ADDAX_APP": "main:app", **environment})
    assert (result.exit_code, result.output, served) == (2, f"Error: {line}\n", [])


def test_wrong_log_configuration_is_one_line(served: list[Config], tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text("{")
    result = call("main:app", "--log-config", "log.json")
    assert result.exit_code == 2
    assert result.output.startswith("Error: --log-config: log.json: ")
    assert result.output.count("\n") == 1


def test_unknown_option_gets_the_nearest_names(served: list[Config]) -> None:
    result = call("main:app", "--timeout-keepalive", "3")
    assert result.exit_code == 2
    assert "--timeout-keepalive" in result.output
    assert "--timeout-keep-alive" in result.output
    assert result.output.count("\n") == 1


def test_misspelt_variable_is_warned_about(served: list[Config], caplog: pytest.LogCaptureFixture) -> None:
    result = call("main:app", "--log-config", _propagating(), ADDAX_PROT="1")
    assert result.exit_code == 0, result.output
    assert caplog.messages == ["The environment variable ADDAX_PROT is not known. Did you mean ADDAX_PORT?"]


def _propagating() -> str:
    """A logging configuration that changes nothing, so that records reach pytest."""
    Path("log.json").write_text('{"version": 1, "incremental": true}')
    return "log.json"


def test_without_an_application_one_is_looked_for(
    served: list[Config], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "addax.error")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "asgi.py").write_text("def create_app(): ...")
    result = call("--app-dir", "src", "--log-config", _propagating())
    assert result.exit_code == 0, result.output
    assert (served[0].app, served[0].factory) == ("asgi:create_app", True)
    assert caplog.messages == ["Serving asgi:create_app (a factory)."]


def test_without_an_application_and_none_to_find(served: list[Config]) -> None:
    result = call()
    assert result.exit_code == 3
    assert result.output.startswith("Error: No application was named, and none was found: looked for app,")
    assert served == []


def test_help_has_every_option_under_its_heading() -> None:
    text = call("--help").output
    flat = " ".join(text.split())
    assert [heading for heading in GROUPS if f"\n{heading}:\n" in text] == list(GROUPS[:-1])
    for option in OPTIONS:
        flags = ", ".join(filter(None, (option.flag, option.alias)))
        assert (f"  {flags} " in text) == option.in_cli
        assert (option.help in flat) or not option.in_cli or "-" in option.help
    assert "--no-access-log" in text
    assert "[default: 30 seconds; 0 or more, or none]" in flat
    assert "ADDAX_RELOAD_DIRS" in flat
    assert "ADDAX_PORT, or ADDAX_APP for APP" in flat


def test_version_tells_what_auto_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    result = call("--version")
    assert result.exit_code == 0
    assert result.output.startswith(f"Running addax {addax.__version__} with ")
    assert "parser: " in result.output
    monkeypatch.setattr(registry, "LOOPS", {"uvloop": "nomod:x"})
    assert "(loop: none, parser: " in cli.version_line()


@pytest.mark.parametrize(("compiled", "words"), [(True, "compiled"), (False, "pure Python")])
def test_version_tells_which_variant_runs(compiled: bool, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "is_compiled", lambda: compiled)
    assert call("--version").output.endswith(f", {words})\n")


def test_module_runs_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["addax", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("addax", run_name="__main__")
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("Running addax ")


# --- run and serve ----------------------------------------------------------------------------------------------------


class FakeServer:
    """Stands in for Server: notes its Config, and ends as it was told to."""

    made: list[Config]
    startup_error: BaseException | None = None
    raises: BaseException | None = None

    def __init__(self, config: Config) -> None:
        self.made.append(config)

    def run(self) -> None:
        if self.raises is not None:
            raise self.raises


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> type[FakeServer]:
    class Fake(FakeServer):
        made: list[Config] = []  # noqa: RUF012 - one list for each test

    monkeypatch.setattr(_run, "Server", Fake)
    return Fake


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


def test_run_serves_a_config_of_its_arguments(server: type[FakeServer]) -> None:
    addax.run(app, port=3, log_config=None)
    assert [(config.app, config.port) for config in server.made] == [(app, 3)]


def test_run_passes_config_errors_on(server: type[FakeServer]) -> None:
    with pytest.raises(ValueError, match=r"^port: "):
        addax.run(app, port=99999, log_config=None)


def test_run_swallows_the_interrupt_that_ended_the_server(server: type[FakeServer]) -> None:
    server.raises = KeyboardInterrupt()
    addax.run(app, log_config=None)


def test_run_exits_with_3_when_the_server_did_not_start(server: type[FakeServer]) -> None:
    server.startup_error = StartupError("why")
    with pytest.raises(SystemExit) as caught:
        addax.run(app, log_config=None)
    assert caught.value.code == 3


def test_run_exits_with_3_when_the_application_is_not_there(
    server: type[FakeServer], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SystemExit) as caught:
        addax.run("nomod:app", log_config=None)
    assert caught.value.code == 3
    assert server.made == []
    assert caplog.messages == ['Error loading ASGI app. Could not import module "nomod".']
    assert AppLoadError.exit_code == StartupError.exit_code == 3


# --- as a process -----------------------------------------------------------------------------------------------------


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "addax", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).resolve().parents[1])},
        check=False,
    )


def test_process_shows_the_users_traceback_without_ours(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import nomod_dependency\n")
    done = process("main:app")
    assert done.returncode == 3
    assert done.stderr.startswith('ERROR:    Error loading ASGI app. Importing "main:app" failed.\n\nTraceback')
    assert done.stderr.count("  File ") == 1
    assert done.stderr.endswith("ModuleNotFoundError: No module named 'nomod_dependency'\n")


def test_process_exit_codes(tmp_path: Path) -> None:
    assert process("--version").returncode == 0
    assert process("main:app", "--port", "70000").returncode == 2


def test_process_import_of_the_package_is_cheap() -> None:
    code = "import sys, addax; print([m for m in ('asyncio', 'click', 'ssl', 'logging') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).resolve().parents[1])}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, timeout=60, env=environment, check=True
    )
    assert done.stdout == "[]\n"
