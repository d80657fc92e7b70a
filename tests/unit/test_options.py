"""The table of options, and that everything made from it agrees with it."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import ssl
import sys
import typing
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest

import addax
from addax.config import (
    HTTP_PROTOCOLS,
    INTERFACES,
    LIFESPAN,
    LOGGING_CONFIG,
    LOOP_FACTORIES,
    SSL_PROTOCOL_VERSION,
    WS_PROTOCOLS,
)
from addax.config.config import Config
from addax.config.kinds import Boolean, Choice
from addax.config.options import BY_NAME, GROUPS, OPTIONS, Option
from addax.core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]

# fmt: off
#: Parameters of uvicorn's Config in their order, which positional arguments rely on; without ``app``.
UVICORN_ORDER = [
    "host", "port", "uds", "fd", "loop", "http", "http2", "ws", "ws_max_size", "ws_max_queue",
    "ws_ping_interval", "ws_ping_timeout", "ws_per_message_deflate", "lifespan", "env_file", "log_config",
    "log_level", "access_log", "use_colors", "interface", "reload", "reload_dirs", "reload_delay",
    "reload_includes", "reload_excludes", "workers", "proxy_headers", "server_header", "date_header",
    "forwarded_allow_ips", "root_path", "limit_concurrency", "limit_max_requests", "limit_max_requests_jitter",
    "backlog", "timeout_keep_alive", "timeout_notify", "timeout_graceful_shutdown",
    "timeout_worker_healthcheck", "callback_notify", "ssl_keyfile", "ssl_certfile", "ssl_keyfile_password",
    "ssl_version", "ssl_cert_reqs", "ssl_ca_certs", "ssl_ciphers", "ssl_context_factory", "headers", "factory",
    "h11_max_incomplete_event_size", "reset_contextvars",
]
# fmt: on

#: Flags of uvicorn's command line.
UVICORN_FLAGS = {
    *("--" + name.replace("_", "-") for name in UVICORN_ORDER),
    *("--header", "--reload-dir", "--reload-include", "--reload-exclude", "--app-dir"),
} - {
    *("--headers", "--reload-dirs", "--reload-includes", "--reload-excludes"),
    *("--timeout-notify", "--callback-notify", "--ssl-context-factory"),
}


def _parameters() -> dict[str, inspect.Parameter]:
    parameters = dict(inspect.signature(Config).parameters)
    assert next(iter(parameters)) == "app"
    del parameters["app"]
    return parameters


def test_config_has_uvicorns_parameters_first_and_in_order() -> None:
    assert list(_parameters())[: len(UVICORN_ORDER)] == UVICORN_ORDER


def test_config_new_options_are_keyword_only() -> None:
    kinds = {name: parameter.kind for name, parameter in _parameters().items()}
    assert {name for name, kind in kinds.items() if kind is inspect.Parameter.KEYWORD_ONLY} == kinds.keys() - set(
        UVICORN_ORDER
    )


def test_config_parameters_are_the_table() -> None:
    assert sorted(_parameters()) == sorted(option.name for option in OPTIONS)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_config_default_is_that_of_the_table(option: Option) -> None:
    default = _parameters()[option.name].default
    if option.name == "log_config":
        (field,) = (field for field in dataclasses.fields(Config) if field.name == "log_config")
        assert callable(field.default_factory)
        assert field.default_factory() is LOGGING_CONFIG
    elif option.multiple:
        assert default is None
        assert option.default == ()
    else:
        assert default == option.default
        assert type(default) is type(option.default)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_option_default_is_a_value_of_the_option(option: Option) -> None:
    assert option.read(option.default) == ([] if option.multiple else option.default)
    assert option.is_ready(option.default)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_option_is_explained(option: Option) -> None:
    assert option.help.endswith(".")
    assert option.group in GROUPS
    assert (option.variable == "") == (not option.in_cli)
    assert option.spelling == "" or option.multiple
    assert option.kind.placeholder()


def test_option_names_and_flags_are_unique() -> None:
    assert len(BY_NAME) == len(OPTIONS)
    assert len({option.flag for option in OPTIONS}) == len(OPTIONS)
    assert {option.alias for option in OPTIONS if option.alias}.isdisjoint(option.flag for option in OPTIONS)


def test_every_flag_of_uvicorn_is_there_and_not_marked_new() -> None:
    flags = {option.flag for option in OPTIONS if option.in_cli and not option.is_new}
    assert flags == UVICORN_FLAGS


def test_every_setting_comes_from_one_option() -> None:
    wanted = []
    for section in dataclasses.fields(Settings):
        value = getattr(Settings(), section.name)
        inner = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
        wanted += [f"{section.name}.{field.name}" for field in inner] or [section.name]
    wanted.remove("log.trace")  # follows from the logger's level
    assert sorted(option.setting for option in OPTIONS if option.setting) == sorted(wanted)


def test_settings_defaults_are_those_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    assert Config("main:app", log_config=None).settings() == Settings()


def test_run_shows_the_parameters_of_config() -> None:
    assert inspect.signature(addax.run).parameters.keys() == inspect.signature(Config).parameters.keys()


def test_annotations_of_config_can_be_resolved() -> None:
    module = vars(sys.modules[Config.__module__])
    hints = typing.get_type_hints(Config.__init__, module, {"SSLContext": ssl.SSLContext})
    assert BY_NAME.keys() <= hints.keys()


def test_constants_are_what_they_stand_for() -> None:
    assert ssl.PROTOCOL_TLS_SERVER == SSL_PROTOCOL_VERSION == BY_NAME["ssl_version"].default
    assert BY_NAME["ssl_cert_reqs"].default == ssl.CERT_NONE


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("interface", INTERFACES),
        ("lifespan", LIFESPAN),
        ("http", HTTP_PROTOCOLS),
        ("ws", WS_PROTOCOLS),
        ("loop", LOOP_FACTORIES),
    ],
)
def test_public_name_lists_are_the_choices(name: str, names: Iterable[str]) -> None:
    kind = BY_NAME[name].kind
    assert isinstance(kind, Choice)
    assert sorted(kind.choices) == sorted(names)


def test_default_text_has_the_unit() -> None:
    assert BY_NAME["timeout_head"].default_text == "30 seconds"
    assert BY_NAME["limit_head_size"].default_text == "65536 bytes"
    assert BY_NAME["access_log"].default_text == "on"
    assert BY_NAME["factory"].default_text == "off"
    assert BY_NAME["uds"].default_text == ""
    assert BY_NAME["workers"].default_text == "$WEB_CONCURRENCY, else 1"


@pytest.mark.parametrize("name", [option.name for option in OPTIONS if option.takes_none])
def test_none_in_text_is_none(name: str) -> None:
    assert BY_NAME[name].read(" None ") is None


def test_none_in_text_is_text_where_numbers_are_not_meant() -> None:
    assert BY_NAME["host"].read("none") == "none"
    assert BY_NAME["loop"].read("none") == "none"


def test_none_is_refused_where_it_means_nothing() -> None:
    with pytest.raises(ValueError, match="None is not a value"):
        BY_NAME["port"].read(None)


def test_option_given_several_times_takes_one_value_a_list_or_none() -> None:
    option = BY_NAME["reload_includes"]
    assert option.read("*.html") == ["*.html"]
    assert option.read(("*.html", "*.css")) == ["*.html", "*.css"]
    assert option.read(None) == []
    with pytest.raises(ValueError, match="3 is not a list"):
        option.read(3)


def test_ready_knows_values_of_later_versions() -> None:
    assert not BY_NAME["http"].is_ready("zttp")
    assert BY_NAME["http"].is_ready("h11")
    assert BY_NAME["http2"].is_later
    assert not BY_NAME["http"].is_later


def test_flags_that_can_be_negated_are_uvicorns() -> None:
    pairs = {option.name for option in OPTIONS if option.kind == Boolean("pair")}
    assert pairs == {"access_log", "use_colors", "proxy_headers", "server_header", "date_header"}


def _options_doc() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_options_doc", ROOT / "scripts" / "make_options_doc.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_documentation_is_up_to_date() -> None:
    page = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    assert page == _options_doc().render(), "run: python scripts/make_options_doc.py"


def test_documentation_names_every_option() -> None:
    page = _options_doc().render()
    missing = [option.name for option in OPTIONS if f"`{option.flag if option.in_cli else option.name}`" not in page]
    assert not missing


def test_documentation_script_checks_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = _options_doc()
    monkeypatch.setattr(script, "TARGET", tmp_path / "docs" / "options.md")
    assert script.main(["--check"]) == 1
    assert script.main([]) == 0
    assert script.main(["--check"]) == 0
