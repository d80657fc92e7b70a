"""Logging set-up: every form of a configuration, levels, formats, and errors in one line."""

from __future__ import annotations

import builtins
import copy
import io
import json
import logging
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from addax.asgi.exchange import HttpExchange
from addax.compat import loggers
from addax.config import log_setup
from addax.config.formatters import AccessFormatter, DefaultFormatter, JsonFormatter, TemplateAccessFormatter
from addax.config.log_setup import LOG_LEVELS, LOGGING_CONFIG, TRACE_LOG_LEVEL, configure_logging
from addax.core.errors import ConfigError
from addax.observe.access import AccessLog

NAMES = ("addax", "addax.error", "addax.access", "addax.asgi")


@pytest.fixture(autouse=True)
def _loggers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Puts back what a test does to the loggers, the root among them (fileConfig changes it)."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    names = (*NAMES, "uvicorn", "uvicorn.error", "uvicorn.access")
    loggers = [logging.getLogger(name) for name in names] + [logging.getLogger()]
    kept = [(x, x.handlers[:], x.filters[:], x.level, x.propagate, x.disabled) for x in loggers]
    yield
    for logger, handlers, filters, level, propagate, disabled in kept:
        logger.handlers[:] = handlers
        logger.filters[:] = filters
        logger.setLevel(level)
        logger.propagate = propagate
        logger.disabled = disabled


def formatter_of(name: str) -> Any:
    return logging.getLogger(name).handlers[0].formatter


def log_exchange() -> None:
    exchange = HttpExchange(
        {
            "method": "GET",
            "path": "/a",
            "query_string": b"",
            "http_version": "1.1",
            "scheme": "http",
            "client": ("127.0.0.1", 40524),
            "headers": [],
        }
    )
    exchange.status = 200
    exchange.bytes_sent = 2
    exchange.started_at = exchange.first_byte_at = exchange.ended_at = 1.0
    log = AccessLog()
    if log.is_enabled():
        log.record(exchange)


def reason_of(log_config: Any, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        configure_logging(log_config, None, None, **options)
    assert caught.value.option == "--log-config"
    assert "\n" not in caught.value.reason
    return caught.value.reason


# --- The built-in configuration ---------------------------------------------------------------------------------------


def test_built_in_configuration_writes_where_uvicorn_writes(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LOGGING_CONFIG, None, None)
    logging.getLogger("addax.error").info("Shutting down")
    logging.getLogger("addax.error").debug("not shown")
    log_exchange()
    captured = capsys.readouterr()
    assert captured.err == "INFO:     Shutting down\n"
    assert captured.out == 'INFO:     127.0.0.1:40524 - "GET /a HTTP/1.1" 200 OK\n'


def test_built_in_configuration_has_the_shape_of_uvicorn() -> None:
    configure_logging(LOGGING_CONFIG, None, None)
    assert logging.getLogger("addax").propagate is False
    assert logging.getLogger("addax.error").propagate is True
    assert logging.getLogger("addax.access").propagate is False
    assert type(formatter_of("addax")) is DefaultFormatter
    assert type(formatter_of("addax.access")) is AccessFormatter
    assert set(LOGGING_CONFIG) == {"version", "disable_existing_loggers", "formatters", "handlers", "loggers"}


def test_none_leaves_logging_alone_but_for_levels() -> None:
    before = logging.getLogger("addax").handlers[:]
    configure_logging(None, "error", True, "json", "combined")
    assert logging.getLogger("addax").handlers == before
    assert logging.getLogger("addax.error").level == logging.ERROR


def test_changed_copy_of_the_built_in_configuration_is_used_and_not_mutated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = copy.deepcopy(LOGGING_CONFIG)
    config["formatters"]["access"]["fmt"] = "mine %(status_code)s"
    before = copy.deepcopy(config)
    configure_logging(config, None, True, "text", "uvicorn")
    log_exchange()
    assert capsys.readouterr().out == "mine \x1b[32m200 OK\x1b[0m\n"
    assert config == before


def test_no_configuration_is_mutated_by_options() -> None:
    before = copy.deepcopy(LOGGING_CONFIG)
    for use_colors in (None, True, False):
        for log_format in ("text", "json"):
            configure_logging(LOGGING_CONFIG, "debug", use_colors, log_format, "combined")
    assert before == LOGGING_CONFIG


@pytest.mark.parametrize("use_colors", [True, False])
def test_use_colors_overrides_the_configuration(use_colors: bool) -> None:
    configure_logging(LOGGING_CONFIG, None, use_colors)
    assert formatter_of("addax").use_colors is use_colors
    assert formatter_of("addax.access").use_colors is use_colors


def test_no_access_log_takes_the_handlers() -> None:
    configure_logging(LOGGING_CONFIG, None, None, access_log=False)
    assert not AccessLog().is_enabled()
    configure_logging(LOGGING_CONFIG, None, None)
    assert AccessLog().is_enabled()


# --- Levels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "level"), [*LOG_LEVELS.items(), ("Warning", 30), ("TRACE", TRACE_LOG_LEVEL), (15, 15), (0, 0)]
)
def test_level_is_set_on_three_loggers(given: int | str, level: int) -> None:
    configure_logging(LOGGING_CONFIG, given, None)
    assert [logging.getLogger(name).level for name in NAMES[1:]] == [level] * 3
    assert logging.getLevelName(TRACE_LOG_LEVEL) == "TRACE"


@pytest.mark.parametrize("given", ["loud", "", True, 1.5])
def test_level_that_is_not_known(given: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        configure_logging(None, given, None)
    assert str(caught.value) == (
        f"--log-level: {given!r} is not one of critical, error, warning, info, debug, trace, nor a number"
    )


# --- Formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log_format", "access_format", "default", "access"),
    [
        ("text", "uvicorn", DefaultFormatter, AccessFormatter),
        ("text", "common", DefaultFormatter, TemplateAccessFormatter),
        ("text", "%(h)s", DefaultFormatter, TemplateAccessFormatter),
        ("text", "json", DefaultFormatter, JsonFormatter),
        ("json", "uvicorn", JsonFormatter, JsonFormatter),
        ("json", "json", JsonFormatter, JsonFormatter),
        ("json", "combined", JsonFormatter, JsonFormatter),
    ],
)
def test_formats_choose_formatters(log_format: str, access_format: str, default: type, access: type) -> None:
    configure_logging(LOGGING_CONFIG, None, True, log_format, access_format)
    assert type(formatter_of("addax")) is default
    assert type(formatter_of("addax.access")) is access


def test_json_everywhere_with_a_template_puts_it_into_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LOGGING_CONFIG, None, None, "json", "%(m)s %(U)s %(s)s")
    logging.getLogger("addax.error").info("Shutting down")
    log_exchange()
    captured = capsys.readouterr()
    assert json.loads(captured.err)["message"] == "Shutting down"
    entry = json.loads(captured.out)
    assert (entry["message"], entry["status"], entry["bytes_sent"]) == ("GET /a 200", 200, 2)


def test_access_json_with_text_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LOGGING_CONFIG, None, None, "text", "json")
    logging.getLogger("addax.error").info("Shutting down")
    log_exchange()
    captured = capsys.readouterr()
    assert captured.err == "INFO:     Shutting down\n"
    assert json.loads(captured.out)["path"] == "/a"


def test_formats_that_are_not_known() -> None:
    with pytest.raises(ConfigError, match=r"^--log-format: 'xml' is not one of text, json$"):
        configure_logging(None, None, None, "xml")
    with pytest.raises(ConfigError, match=r"^--access-format: unknown atom"):
        configure_logging(None, None, None, "text", "%(nope)s")


class OwnFormatter(logging.Formatter):
    """Not made like ours: it takes no use_colors."""


class OwnAccess(AccessFormatter):
    """Made like ours."""


class OwnInit(DefaultFormatter):
    """Ours, but made otherwise."""

    def __init__(self) -> None:
        super().__init__("own %(message)s", use_colors=False)


def config_with(formatter: Any, logger: str = "addax") -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"f": formatter},
        "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f"}},
        "loggers": {logger: {"handlers": ["h"], "level": "INFO", "propagate": False}},
    }


@pytest.mark.parametrize("kind", [OwnFormatter, OwnInit, OwnAccess])
def test_formats_leave_the_users_own_formatters_alone(kind: type, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(config_with({"()": kind}), None, True, "json", "combined")
    assert type(formatter_of("addax")) is kind
    assert "--log-format has no effect" in capsys.readouterr().err


def test_colours_reach_subclasses_that_are_made_like_ours() -> None:
    configure_logging(config_with({"()": OwnAccess}), None, True)
    assert formatter_of("addax").use_colors is True


@pytest.mark.parametrize("factory", [DefaultFormatter, "addax.logging.DefaultFormatter", "ext"])
def test_formats_reach_our_formatters_in_the_users_configuration(
    factory: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if factory == "ext":  # what a stand-in for uvicorn offers
        module = ModuleType("uvicornish")
        module.__dict__["DefaultFormatter"] = DefaultFormatter
        monkeypatch.setitem(sys.modules, "uvicornish", module)
        factory = "uvicornish.DefaultFormatter"
    configure_logging(config_with({"()": factory, "fmt": "%(message)s"}), None, None, "json", "combined")
    assert type(formatter_of("addax")) is JsonFormatter
    entry = json.loads(capsys.readouterr().err)
    assert entry["level"] == "WARNING"
    assert entry["message"] == (
        "--access-format has no effect: the logging configuration does not use addax.logging.AccessFormatter"
    )


def test_formatters_without_a_factory_are_left_alone() -> None:
    configure_logging(config_with({"format": "plain %(message)s"}), None, True)
    assert type(formatter_of("addax")) is logging.Formatter


def test_dict_with_streams_and_lists_of_its_own_objects() -> None:
    stream = io.StringIO()
    config = config_with({"()": lambda: logging.Formatter("%(message)s")})
    config["handlers"]["h"]["stream"] = stream
    config["filters"] = {}
    configure_logging(config, None, None)
    logging.getLogger("addax").info("here")
    assert stream.getvalue() == "here\n"


# --- Files ------------------------------------------------------------------------------------------------------------

YAML = """
version: 1
disable_existing_loggers: false
formatters: {f: {"()": addax.logging.DefaultFormatter, fmt: "from file %(message)s"}}
handlers: {h: {class: logging.StreamHandler, formatter: f}}
loggers: {addax: {handlers: [h], level: INFO, propagate: false}}
"""
TOML = """
version = 1
disable_existing_loggers = false
formatters.f = {"()" = "addax.logging.DefaultFormatter", fmt = "from file %(message)s"}
handlers.h = {class = "logging.StreamHandler", formatter = "f"}
loggers.addax = {handlers = ["h"], level = "INFO", propagate = false}
"""
INI = """
[loggers]
keys=root,addax
[handlers]
keys=h
[formatters]
keys=f
[logger_root]
handlers=h
[logger_addax]
qualname=addax
level=INFO
propagate=0
handlers=h
[handler_h]
class=StreamHandler
args=(sys.stderr,)
formatter=f
[formatter_f]
class=addax.logging.DefaultFormatter
format=from file %(message)s
"""
JSON = json.dumps(config_with({"()": "addax.logging.DefaultFormatter", "fmt": "from file %(message)s"}))
toml_needs_a_parser = pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is in Python 3.11")


def assert_is_in_force(capsys: pytest.CaptureFixture[str]) -> None:
    """The configuration, whatever its form, writes this."""
    logging.getLogger("addax.error").info("line")
    assert capsys.readouterr().err == "from file line\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.json", JSON),
        ("l.JSON", JSON),
        ("l.yaml", YAML),
        ("l.yml", YAML),
        pytest.param("l.toml", TOML, marks=toml_needs_a_parser),
        ("l.ini", INI),
        ("l", INI),
    ],
)
@pytest.mark.parametrize("form", [str, Path])
def test_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, form: type) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    existing = logging.getLogger("addax.test.existing")
    configure_logging(form(path), None, None)
    assert not existing.disabled
    assert_is_in_force(capsys)


def test_ini_parser(capsys: pytest.CaptureFixture[str]) -> None:
    parser = ConfigParser(interpolation=None)
    parser.read_string(INI)
    configure_logging(parser, None, None)
    assert_is_in_force(capsys)


def test_open_ini_file(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(io.StringIO(INI), None, None)
    assert_is_in_force(capsys)


def test_formats_reach_our_formatters_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "l.json"
    path.write_text(JSON, encoding="utf-8")
    configure_logging(str(path), "debug", None, "json")
    assert type(formatter_of("addax")) is JsonFormatter
    assert logging.getLogger("addax.error").level == logging.DEBUG


def test_formats_do_not_reach_an_ini_file_and_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "l.ini"
    path.write_text(INI, encoding="utf-8")
    configure_logging(path, None, None, "json", "json")
    assert capsys.readouterr().err.splitlines() == [
        "from file --log-format has no effect: the logging configuration does not use "
        "addax.logging.DefaultFormatter or AccessFormatter",
        "from file --access-format has no effect: the logging configuration does not use addax.logging.AccessFormatter",
    ]


# --- Errors in one line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (
            "l.json",
            "{",
            "cannot be parsed: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        ("l.json", b"\xff\xff\x00", "cannot be parsed: "),
        ("l.yaml", "version: [1", "cannot be parsed: while parsing a flow sequence"),
        ("l.json", "[1]", "is a list, not a mapping with version, handlers, loggers"),
        ("l.yaml", "", "is a NoneType, not a mapping"),
        ("l.json", "{}", "the key version is missing (it has to be 1)"),
        ("l.json", '{"version": 1, "handlers": []}', "handlers is a list, not a mapping"),
        ("l.json", '{"version": 1, "loggers": {"a": "INFO"}}', "loggers.a is a str, not a mapping"),
        ("l.json", '{"version": 1, "formatters": {"a": 1}}', "formatters.a is a int, not a mapping"),
        ("l.json", '{"version": 7}', "Unsupported version: 7"),
        pytest.param("l.toml", "version = ", "cannot be parsed: Invalid value", marks=toml_needs_a_parser),
        ("l.ini", "version: 1\n", "cannot be parsed: "),
        ("l.ini", "[loggers]\nkeys=root\n", "the section or key 'formatters' is missing"),
        ("l.ini", INI.replace("StreamHandler", "Nope"), "No module named 'Nope'"),
    ],
)
def test_file_that_cannot_be_used(tmp_path: Path, name: str, text: str | bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = reason_of(path)
    assert found.startswith(f"{path}: {reason}")


@pytest.mark.parametrize("name", ["missing.json", "missing.ini"])
def test_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert reason_of(str(path)) == f"{path}: cannot be read: No such file or directory"


def test_directory_instead_of_a_file(tmp_path: Path) -> None:
    assert reason_of(tmp_path).startswith(f"{tmp_path}: cannot be read: ")


def test_value_of_a_type_that_is_no_configuration() -> None:
    assert reason_of(7) == "a int is not a path, a dict, an INI parser or an open file"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"formatters": {"f": {"()": "nope.Formatter"}}}, "Unable to configure formatter 'f': "),
        ({"formatters": {"f": {"()": "nope"}}}, "Unable to configure formatter 'f': "),
        ({"formatters": {"f": {"()": "addax.logging.Nope"}}}, "Unable to configure formatter 'f': "),
        (
            {"formatters": {"f": {"()": "addax.logging.TemplateAccessFormatter", "template": "%(nope)s"}}},
            "Unable to configure formatter 'f': --access-format: unknown atom %(nope)s",
        ),
        ({"formatters": {}}, "Unable to configure handler 'h': Unable to set formatter 'f'"),
        (
            {"handlers": {"h": {"class": "logging.FileHandler", "filename": "/nonexistent/x"}}},
            "Unable to configure handler 'h': [Errno 2] No such file or directory: '/nonexistent/x'",
        ),
        ({"loggers": {"addax": {"level": "LOUD"}}}, "Unable to configure logger 'addax': Unknown level: 'LOUD'"),
        ({"loggers": {"addax": {"handlers": ["x"]}}}, "Unable to configure logger 'addax': Unable to add handler 'x'"),
    ],
)
def test_configuration_that_names_what_is_wrong(change: dict[str, Any], reason: str) -> None:
    assert reason_of({**config_with({"format": "%(message)s"}), **change}).startswith(reason)


@pytest.mark.parametrize("name", ["ColourizedFormatter", "DefaultFormatter", "AccessFormatter"])
def test_formatter_of_uvicorn_is_ours(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    configure_logging(config_with({"()": f"uvicorn.logging.{name}", "use_colors": None}), None, None)
    assert type(formatter_of("addax")).__module__.startswith("addax.")
    assert type(formatter_of("addax")).__name__ == name


def test_formatter_of_uvicorn_in_an_ini_file_without_uvicorn_says_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    path = tmp_path / "l.ini"
    path.write_text(INI.replace("addax.logging", "uvicorn.logging"))
    assert reason_of(str(path)).endswith(": in the place of uvicorn.logging write addax.logging")


def test_error_without_a_text_is_named_by_its_class() -> None:
    def fail() -> logging.Formatter:
        raise RuntimeError

    assert reason_of(config_with({"()": fail})) == "Unable to configure formatter 'f': RuntimeError"


def test_yaml_without_pyyaml_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "l.yaml"
    path.write_text(YAML, encoding="utf-8")
    real_import = builtins.__import__

    def no_yaml(name: str, *args: Any) -> Any:
        if name == "yaml":
            raise ImportError(name)
        return real_import(name, *args)

    monkeypatch.setattr(builtins, "__import__", no_yaml)
    assert reason_of(path) == f'{path}: YAML files need PyYAML (try: pip install "addax[standard]")'


def test_toml_without_a_parser_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "l.toml"
    path.write_text(TOML, encoding="utf-8")

    def no_module(name: str) -> ModuleType:
        raise ImportError(name)

    monkeypatch.setattr(log_setup, "import_module", no_module)
    assert reason_of(path) == f"{path}: TOML files need Python 3.11 or tomli (try: pip install tomli)"


def test_toml_with_tomli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "l.toml"
    path.write_text(TOML, encoding="utf-8")
    asked: list[str] = []
    module = ModuleType("tomli")
    module.__dict__["load"] = lambda file: json.loads(JSON)

    def only_tomli(name: str) -> ModuleType:
        asked.append(name)
        if name == "tomllib":
            raise ImportError(name)
        return module if name == "tomli" else sys.modules[name]

    monkeypatch.setattr(log_setup, "import_module", only_tomli)
    configure_logging(path, None, None)
    assert asked[:2] == ["tomllib", "tomli"]
    assert_is_in_force(capsys)


# --- a configuration that was made for uvicorn ------------------------------------------------------------------------

UVICORN_INI = INI.replace("addax", "uvicorn").replace("uvicorn.logging.DefaultFormatter", "logging.Formatter")
FOR_UVICORN: dict[str, Any] = {
    "version": 1,
    "handlers": {"h": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}},
    "loggers": {
        "uvicorn": {"handlers": ["h"], "level": "INFO"},
        "uvicorn.access": {"handlers": ["h"], "propagate": False},
    },
}


@pytest.fixture
def without_handlers() -> None:
    """As in a new process: no logger has a handler or a level."""
    for name in (*NAMES, ""):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.filters[:] = []
        logger.setLevel(logging.NOTSET if name else logging.WARNING)
        logger.propagate = True


def written_by(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What a line of the server and one of the access log become, on both streams."""
    logging.getLogger("addax.error").info("line")
    logging.getLogger("addax.asgi").debug("not of interest")
    log_exchange()
    written = capsys.readouterr()
    return (written.out + written.err).splitlines()


@pytest.mark.usefixtures("without_handlers")
@pytest.mark.parametrize("disables", [True, False])
def test_configuration_for_uvicorns_loggers_is_used(disables: bool, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging({**FOR_UVICORN, "disable_existing_loggers": disables}, None, None)
    assert written_by(capsys) == ["line", '127.0.0.1:40524 - "GET /a HTTP/1.1" 200']
    # Code that logs under uvicorn's names is heard as ever.
    logging.getLogger("uvicorn.error").info("of the application")
    assert capsys.readouterr().out == "of the application\n"


@pytest.mark.usefixtures("without_handlers")
def test_configuration_for_uvicorns_loggers_may_filter_and_silence(capsys: pytest.CaptureFixture[str]) -> None:
    loggers = {
        "uvicorn": {"handlers": ["h"], "level": "INFO"},
        "uvicorn.error": {"filters": ["f"]},
        "uvicorn.access": {"handlers": [], "propagate": False},
    }
    configure_logging({**FOR_UVICORN, "filters": {"f": {"name": "elsewhere"}}, "loggers": loggers}, None, None)
    assert written_by(capsys) == []


@pytest.mark.usefixtures("without_handlers")
def test_ini_for_uvicorns_loggers_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "l.ini"
    path.write_text(UVICORN_INI)
    configure_logging(str(path), None, None)
    assert_is_in_force(capsys)


@pytest.mark.usefixtures("without_handlers")
def test_configuration_for_both_leaves_each_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    both = {**FOR_UVICORN["loggers"], "addax": {"handlers": ["h"], "level": "ERROR"}}
    configure_logging({**FOR_UVICORN, "loggers": both}, None, None)
    assert written_by(capsys) == []


@pytest.mark.usefixtures("without_handlers")
def test_configuration_for_uvicorns_loggers_is_right_under_the_stand_in(capsys: pytest.CaptureFixture[str]) -> None:
    loggers.share()
    try:
        configure_logging(FOR_UVICORN, None, None)
        logging.getLogger("uvicorn.error").info("once")
        assert capsys.readouterr().out == "once\n"
    finally:
        loggers.unshare()
