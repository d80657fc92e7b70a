"""The stand-in for uvicorn: what its names lead to, its loggers, its metadata, and that nothing is left of it."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import importlib.util
import logging
import logging.config
import os
import re
import runpy
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import addax
from addax import compat
from addax.compat import __main__ as command
from addax.compat import finder, loggers
from addax.core.errors import ConfigError

STARTUP = Path(command.__file__).parent / "startup"


@pytest.fixture
def stand_in() -> Iterator[ModuleType]:
    compat.install()
    yield importlib.import_module("uvicorn")
    compat.uninstall()


@pytest.fixture(autouse=True)
def _leave_no_trace() -> Iterator[None]:
    known = logging.Logger.manager.loggerDict
    loggers_before = dict(known)
    levels = {
        name: (logger.level, list(logger.handlers), logger.propagate, logger.disabled)
        for name, logger in known.items()
        if isinstance(logger, logging.Logger)
    }
    yield
    compat.uninstall()
    for name, (level, handlers, propagate, disabled) in levels.items():
        logger = loggers_before[name]
        assert isinstance(logger, logging.Logger)
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate, logger.disabled = propagate, disabled
    for name in set(known) - set(loggers_before):
        del known[name]


# --- import uvicorn ---------------------------------------------------------------------------------------------------


def test_install_top_level_names_are_those_of_addax(stand_in: ModuleType) -> None:
    assert stand_in.Server is addax.Server
    assert stand_in.Config is addax.Config
    assert stand_in.run is addax.run
    assert stand_in.main is addax.main
    assert sorted(stand_in.__all__) == ["Config", "Server", "main", "run"]
    assert {"Config", "config", "supervisors", "__version__"} <= set(dir(stand_in))
    assert Path(stand_in.__file__ or "") == Path(addax.__file__)
    assert "addax" in (stand_in.__doc__ or "")


@pytest.mark.parametrize(("theirs", "ours"), sorted(finder.MODULES.items()))
@pytest.mark.usefixtures("stand_in")
def test_install_every_submodule_is_the_same_object(theirs: str, ours: str) -> None:
    if theirs == "uvicorn.loops.uvloop":
        pytest.importorskip("uvloop")
    module = importlib.import_module(theirs)
    assert module is importlib.import_module(ours)
    assert module.__name__ == ours
    assert module.__spec__ is not None
    assert module.__spec__.name == ours


def test_install_submodules_are_attributes_without_an_import(stand_in: ModuleType) -> None:
    assert stand_in.supervisors.ChangeReload.__name__ == "ChangeReload"
    assert stand_in.middleware.proxy_headers.ProxyHeadersMiddleware.__module__ == "addax.asgi.proxy_headers"
    with pytest.raises(AttributeError, match="'uvicorn' \\(addax stands in for it\\) has no attribute 'nonsense'"):
        _ = stand_in.nonsense


@pytest.mark.usefixtures("stand_in")
def test_install_main_is_a_command_as_attribute_and_a_module_for_from_imports() -> None:
    import uvicorn.main as main
    from uvicorn.main import LOGGING_CONFIG, STARTUP_FAILURE, Config, Server, ServerState, logger, run

    assert main is addax.main
    assert (Server, run, Config) == (addax.Server, addax.run, addax.Config)
    assert STARTUP_FAILURE == 3
    assert "uvicorn.access" in LOGGING_CONFIG["loggers"]
    assert ServerState.__module__ == "addax.asgi.state"
    assert logger is logging.getLogger("addax.error")
    module = sys.modules["uvicorn.main"]
    assert {"Server", "logger"} <= set(dir(module))
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        from uvicorn.main import nonsense  # noqa: F401


@pytest.mark.usefixtures("stand_in")
def test_install_unknown_submodule_says_that_addax_has_nothing_for_it() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"'uvicorn\.protocols\.http': addax stands in") as caught:
        importlib.import_module("uvicorn.protocols.http.h11_impl")
    assert caught.value.name == "uvicorn.protocols.http"
    with pytest.raises(ModuleNotFoundError, match="nonsense"):
        importlib.util.find_spec("uvicorn.nonsense")


@pytest.mark.usefixtures("stand_in")
def test_install_find_spec_finds_packages_and_modules() -> None:
    assert importlib.util.find_spec("uvicorn") is not None
    spec = importlib.util.find_spec("uvicorn.importer")
    assert spec is not None
    assert spec.origin is not None
    assert spec.origin.endswith("importer.py")


@pytest.mark.usefixtures("stand_in")
def test_install_version_is_the_same_everywhere() -> None:
    import uvicorn

    assert uvicorn.__version__ == compat.UVICORN_VERSION == importlib.metadata.version("uvicorn")
    # Programs take it apart in ways that bear nothing but numbers.
    assert tuple(int(part) for part in uvicorn.__version__.split(".")) >= (0, 54, 0)
    assert re.fullmatch(r"\d+\.\d+\.\d+", uvicorn.__version__)


@pytest.mark.usefixtures("stand_in")
def test_install_metadata_answers_for_uvicorn_only_and_not_for_directories(tmp_path: Path) -> None:
    distribution = importlib.metadata.distribution("Uvicorn")
    assert distribution.metadata["Name"] == "uvicorn"
    assert "addax" in distribution.metadata["Summary"]
    assert distribution.read_text("RECORD") is None
    assert Path(str(distribution.locate_file("addax/__init__.py"))).exists()
    assert "uvicorn" in {found.metadata["Name"] for found in importlib.metadata.distributions()}
    assert list(importlib.metadata.distributions(path=[str(tmp_path)])) == []
    assert importlib.metadata.version("pytest") == pytest.__version__
    assert len(list(compat._finder.find_distributions())) == 1


def test_install_python_dash_m_uvicorn_runs_the_command_line(
    stand_in: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["uvicorn", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("uvicorn", run_name="__main__", alter_sys=True)
    assert caught.value.code == 0
    assert f"addax {addax.__version__}" in capsys.readouterr().out


def test_install_patched_attribute_is_seen_by_importers_and_taken_back(
    stand_in: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr("uvicorn.run", calls.append)
        from uvicorn import run

        run("main:app")
    assert calls == ["main:app"]
    assert stand_in.run is addax.run


def test_install_patched_handle_exit_is_called_for_signals(
    stand_in: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = stand_in.Server.handle_exit

    def handle_exit(self: Any, sig: int, frame: Any) -> None:
        seen.append(sig)
        original(self, sig, frame)

    monkeypatch.setattr(stand_in.Server, "handle_exit", handle_exit)
    server = addax.Server(addax.Config(_app, log_config=None))
    server.handle_exit(15, None)
    assert seen == [15]
    assert server.should_exit


def test_install_twice_is_the_same_as_once() -> None:
    before = list(sys.meta_path)
    compat.install()
    compat.install()
    assert len(sys.meta_path) == len(before) + 1
    assert compat.is_installed()
    compat.uninstall()
    compat.uninstall()
    assert sys.meta_path == before
    assert not compat.is_installed()


def test_uninstall_brings_the_real_modules_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "uvicorn"]:
        # Another test may have imported the real one.
        monkeypatch.delitem(sys.modules, name)
    real = ModuleType("uvicorn")
    real_config = ModuleType("uvicorn.config")
    monkeypatch.setitem(sys.modules, "uvicorn", real)
    monkeypatch.setitem(sys.modules, "uvicorn.config", real_config)
    compat.install()
    assert importlib.import_module("uvicorn") is not real
    assert importlib.import_module("uvicorn.config") is addax.config  # type: ignore[attr-defined]
    importlib.import_module("uvicorn.supervisors")
    compat.uninstall()
    assert importlib.import_module("uvicorn") is real
    assert importlib.import_module("uvicorn.config") is real_config
    assert "uvicorn.supervisors" not in sys.modules


def test_get_code_without_a_module_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(finder.MODULES, "uvicorn.gone", "addax.gone")
    spec = compat._finder.find_spec("uvicorn.gone", None)
    assert spec is not None
    assert spec.origin is None
    assert spec.loader is not None
    assert spec.loader.get_code("uvicorn.gone") is None  # type: ignore[attr-defined]
    assert compat._finder.find_spec("json", None) is None


# --- loggers ----------------------------------------------------------------------------------------------------------


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {record.getMessage()}")


@pytest.mark.parametrize(("theirs", "ours"), sorted(loggers.NAMES.items()))
def test_loggers_both_names_mean_one_logger(theirs: str, ours: str) -> None:
    before = logging.getLogger(ours)
    compat.install()
    assert logging.getLogger(theirs) is logging.getLogger(ours) is before
    assert before.name == theirs
    compat.uninstall()
    assert logging.getLogger(theirs) is not before
    assert logging.getLogger(theirs).name == theirs
    assert logging.getLogger(ours) is before
    assert before.name == ours


@pytest.mark.usefixtures("stand_in")
def test_loggers_handlers_and_filters_by_uvicorns_names_get_addaxs_records() -> None:
    handler = _Lines()
    handler.addFilter(logging.Filter("uvicorn.error"))
    logger = logging.getLogger("uvicorn")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").addFilter(lambda record: "secret" not in record.getMessage())
    ours = logging.getLogger("addax.error")
    ours.setLevel(logging.INFO)
    try:
        ours.info("hello")
        ours.info("secret")
        logging.getLogger("addax.access").warning("not for this filter")
    finally:
        ours.filters.clear()
    assert handler.lines == ["uvicorn.error: hello"]


def test_loggers_earlier_ones_hand_over_what_was_attached_and_get_it_back() -> None:
    earlier = logging.getLogger("uvicorn.asgi")
    handler, other = _Lines(), _Lines()
    earlier.addHandler(handler)
    earlier.addHandler(other)
    item = logging.Filter("uvicorn")
    earlier.addFilter(item)
    earlier.setLevel(logging.ERROR)
    ours = logging.getLogger("addax.asgi")
    ours.setLevel(logging.NOTSET)
    ours.addHandler(other)
    compat.install()
    try:
        assert handler in ours.handlers
        assert ours.handlers.count(other) == 1
        assert item in ours.filters
        assert ours.level == logging.ERROR
    finally:
        compat.uninstall()
        earlier.removeFilter(item)
    assert handler not in ours.handlers
    assert other in ours.handlers
    assert item not in ours.filters
    assert ours.level == logging.NOTSET
    assert logging.getLogger("uvicorn.asgi") is earlier
    assert handler in earlier.handlers


def test_loggers_taken_over_a_second_time_are_not_doubled() -> None:
    earlier = logging.getLogger("uvicorn.asgi")
    ours = logging.getLogger("addax.asgi")
    item = logging.Filter("uvicorn")
    earlier.addFilter(item)
    ours.addFilter(item)
    ours.setLevel(logging.ERROR)
    compat.install()
    assert ours.filters.count(item) == 1
    compat.uninstall()
    assert item in ours.filters
    earlier.removeFilter(item)
    ours.removeFilter(item)


def test_loggers_below_uvicorns_hang_under_addaxs_meanwhile() -> None:
    custom = logging.getLogger("uvicorn.error.custom")
    logging.getLogger("uvicorn.other.deep")
    compat.install()
    assert custom.parent is logging.getLogger("addax.error")
    assert logging.getLogger("uvicorn.other.deep").parent is logging.getLogger("addax")
    assert logging.getLogger("uvicorn.error").getChild("new").parent is logging.getLogger("addax.error")
    compat.uninstall()
    assert custom.parent is logging.getLogger("uvicorn.error")
    assert custom.parent is not logging.getLogger("addax.error")


def test_nearest_without_any_parent_is_the_root() -> None:
    assert loggers._nearest("nobody.has.this") is logging.root


_HANDLER = {"class": f"{__name__}._Lines"}


@pytest.mark.parametrize("prefix", ["uvicorn", "addax"])
@pytest.mark.parametrize("disable", [True, False])
@pytest.mark.usefixtures("stand_in")
def test_dict_config_under_either_name_configures_and_disables_nothing(prefix: str, disable: bool) -> None:
    logging.getLogger("addax.access")
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": disable,
            "handlers": {"lines": {"()": _Lines}},
            "loggers": {prefix: {"handlers": ["lines"], "level": "INFO", "propagate": False}},
        }
    )
    parent, child = logging.getLogger("addax"), logging.getLogger("addax.error")
    assert not parent.disabled
    # Not named itself, but a child of one that is: reset and not disabled, as logging does it.
    assert not child.disabled
    assert child.propagate
    child.info("hello")
    (handler,) = parent.handlers
    assert isinstance(handler, _Lines)
    assert handler.lines == ["uvicorn.error: hello"]


@pytest.mark.usefixtures("stand_in")
def test_dict_config_that_names_none_disables_them_as_any_other() -> None:
    other = logging.getLogger("some.other")
    logging.config.dictConfig({"version": 1, "loggers": {"mine": {"level": "INFO"}}})
    assert other.disabled
    assert logging.getLogger("addax.error").disabled


@pytest.mark.usefixtures("stand_in")
def test_file_config_that_names_uvicorns_loggers_keeps_them(tmp_path: Path) -> None:
    file = tmp_path / "logging.ini"
    file.write_text(
        "[loggers]\nkeys=root,access\n[handlers]\nkeys=null\n[formatters]\nkeys=\n"
        "[logger_root]\nhandlers=\n[logger_access]\nqualname=uvicorn.access\nlevel=ERROR\nhandlers=null\n"
        "[handler_null]\nclass=NullHandler\nargs=()\n"
    )
    logging.config.fileConfig(file)
    access = logging.getLogger("addax.access")
    assert not access.disabled
    assert access.level == logging.ERROR
    assert logging.getLogger("addax.error").disabled


def test_logging_without_the_hook_still_shares_loggers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loggers, "_original_hook", None)
    hook = vars(logging.config)["_handle_existing_loggers"]
    compat.install()
    assert logging.getLogger("uvicorn") is logging.getLogger("addax")
    assert vars(logging.config)["_handle_existing_loggers"] is hook
    compat.uninstall()


def test_logging_config_names_uvicorns_loggers_meanwhile() -> None:
    from addax.config import LOGGING_CONFIG as ours

    entry = ours["loggers"]["addax.access"]
    compat.install()
    from uvicorn.config import LOGGING_CONFIG

    assert LOGGING_CONFIG is ours
    assert list(LOGGING_CONFIG["loggers"]) == ["uvicorn", "uvicorn.error", "uvicorn.access"]
    assert LOGGING_CONFIG["loggers"]["uvicorn.access"] is entry
    compat.uninstall()
    assert list(ours["loggers"]) == ["addax", "addax.error", "addax.access"]
    assert ours["loggers"]["addax.access"] is entry


@pytest.mark.usefixtures("stand_in")
def test_config_takes_a_log_config_that_names_uvicorns_loggers_and_formatters() -> None:
    addax.Config(
        _app,
        log_config={
            "version": 1,
            "formatters": {"default": {"()": "uvicorn.logging.DefaultFormatter", "fmt": "%(levelprefix)s %(message)s"}},
            "handlers": {"default": {"class": "logging.StreamHandler", "formatter": "default"}},
            "loggers": {"uvicorn.error": {"handlers": ["default"], "level": "WARNING", "propagate": False}},
        },
    )
    logger = logging.getLogger("addax.error")
    assert logger.level == logging.WARNING
    assert type(logger.handlers[0].formatter).__name__ == "DefaultFormatter"


# --- what is named but not there yet ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "name", "option"),
    [
        ("addax.supervisors", "ChangeReload", "reload"),
        ("addax.supervisors", "Multiprocess", "workers"),
        ("addax.supervisors.basereload", "BaseReload", "reload"),
        ("addax.supervisors.multiprocess", "Multiprocess", "workers"),
        ("addax.supervisors.statreload", "StatReload", "reload"),
        ("addax.supervisors.watchfilesreload", "WatchFilesReload", "reload"),
    ],
)
def test_supervisor_takes_only_what_can_be_made_anew_in_another_process(module: str, name: str, option: str) -> None:
    supervisor = getattr(importlib.import_module(module), name)
    with pytest.raises(ConfigError, match=f"^{option}: the application has to be an import string"):
        supervisor(addax.Config(_app, log_config=None), target=print, sockets=[])
    config = addax.Config("main:app", log_config=None)
    with pytest.raises(ConfigError, match=f"^{option}: target .* is not the method run"):
        supervisor(config, target=print, sockets=[])
    made = supervisor(config, target=addax.Server(config).run, sockets=[])
    assert made.config is config


def test_worker_classes_have_uvicorns_names_too() -> None:
    from addax.compat.workers import UvicornH11Worker, UvicornWorker
    from addax.workers import AddaxH11Worker, AddaxWorker

    assert (UvicornWorker, UvicornH11Worker) == (AddaxWorker, AddaxH11Worker)


# --- modules under uvicorn's paths ------------------------------------------------------------------------------------


async def _app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        scope["state"]["ready"] = True
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


async def _broken_app(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


def test_server_package_names_are_those_that_embedders_import() -> None:
    import addax.server as server
    from addax.server import HANDLED_SIGNALS, Server, ServerState

    assert Server is addax.Server
    assert ServerState().total_requests == 0
    assert HANDLED_SIGNALS
    assert {"Server", "ServerState", "HANDLED_SIGNALS"} <= set(dir(server))
    with pytest.raises(ImportError, match="nonsense"):
        from addax.server import nonsense  # type: ignore[attr-defined]  # noqa: F401


def test_importer_finds_objects_and_names_what_is_missing() -> None:
    from addax.importer import ImportFromStringError, import_from_string

    assert import_from_string("os.path:join") is os.path.join
    with pytest.raises(ImportFromStringError, match='Could not import module "no_such_module"'):
        import_from_string("no_such_module:app")


def test_types_has_every_name_and_no_other() -> None:
    from addax.compat import types

    for name in (*types.__all__, *types._SCOPES, *types._EVENTS):
        assert getattr(types, name) is not None
    with pytest.raises(AttributeError, match=r"'uvicorn\._types' .* has no attribute 'nonsense'"):
        _ = types.nonsense


def test_lifespan_on_runs_the_applications_lifespan() -> None:
    from addax.lifespan.on import LifespanOn

    async def run() -> LifespanOn:
        lifespan = LifespanOn(addax.Config(_app, lifespan="on", log_config=None))
        await lifespan.startup()
        assert lifespan.state == {"ready": True}
        assert not lifespan.should_exit
        await lifespan.shutdown()
        return lifespan

    assert not asyncio.run(run()).should_exit


@pytest.mark.parametrize("mode", ["on", "off"])
def test_lifespan_on_failed_startup_shows_in_should_exit(mode: str) -> None:
    from addax.lifespan.on import LifespanOn

    config = addax.Config(_broken_app, lifespan=mode, log_config=None)
    config.load()

    async def run() -> LifespanOn:
        lifespan = LifespanOn(config)
        await lifespan.startup()
        await lifespan.shutdown()
        return lifespan

    assert asyncio.run(run()).should_exit


def test_lifespan_off_does_nothing() -> None:
    from addax.lifespan.off import LifespanOff

    lifespan = LifespanOff(addax.Config(_broken_app, log_config=None))
    asyncio.run(lifespan.startup())
    asyncio.run(lifespan.shutdown())
    assert (lifespan.should_exit, lifespan.state) == (False, {})


def test_auto_loop_factory_makes_a_loop() -> None:
    from addax.loops.auto import auto_loop_factory

    loop = auto_loop_factory(use_subprocess=True)()
    try:
        assert loop.run_until_complete(asyncio.sleep(0, "done")) == "done"
    finally:
        loop.close()


def test_wsgi_middleware_with_another_number_of_threads_is_refused() -> None:
    from addax.middleware.wsgi import WSGIMiddleware

    with pytest.raises(ConfigError, match="workers: 3 threads cannot be had"):
        WSGIMiddleware(lambda environ, start: [], workers=3)


def test_wsgi_middleware_answers_the_lifespan() -> None:
    pytest.importorskip("a2wsgi")
    from addax.middleware.wsgi import WSGIMiddleware

    app = WSGIMiddleware(lambda environ, start: [])
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    asyncio.run(app({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


class _Transport(asyncio.BaseTransport):
    def __init__(self, **extra: Any) -> None:
        super().__init__(extra)


class _Gone:
    def getpeername(self) -> Any:
        raise OSError("not connected")

    getsockname = getpeername


def test_transport_addresses_of_a_tcp_connection() -> None:
    from addax.protocols.utils import get_local_addr, get_remote_addr, is_ssl

    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        transport = _Transport(socket=client, sslcontext=object())
        assert get_remote_addr(transport) == listener.getsockname()
        assert get_local_addr(transport) == client.getsockname()
        assert is_ssl(transport)


@pytest.mark.parametrize(
    ("extra", "remote", "local"),
    [
        ({"peername": ("::1", 5, 0, 0), "sockname": ("::2", 6, 0, 0)}, ("::1", 5), ("::2", 6)),
        ({"peername": "", "sockname": "/run/app.sock"}, None, ("/run/app.sock", None)),
        ({"peername": "/run/client.sock", "sockname": None}, None, None),
        ({"socket": _Gone()}, None, None),
        ({}, None, None),
    ],
)
def test_transport_addresses_elsewhere(extra: dict[str, Any], remote: Any, local: Any) -> None:
    from addax.protocols.utils import get_local_addr, get_remote_addr, is_ssl

    transport = _Transport(**extra)
    assert get_remote_addr(transport) == remote
    assert get_local_addr(transport) == local
    assert not is_ssl(transport)


def test_scope_texts_are_fit_for_a_log_line() -> None:
    from addax.protocols.utils import get_client_addr, get_path_with_query_string

    assert get_client_addr({"client": ("10.0.0.1", 80)}) == "10.0.0.1:80"
    assert get_client_addr({"client": None}) == ""
    assert get_path_with_query_string({"path": "/a b", "query_string": b"x=1"}) == "/a%20b?x=1"
    assert get_path_with_query_string({"path": "/a", "query_string": b""}) == "/a"
    assert get_path_with_query_string({"path": "/", "query_string": b"\xff\n"}) == "/?%FF%0A"


# --- python -m addax.compat -------------------------------------------------------------------------------------------


def test_environment_has_the_startup_directory_first_and_once() -> None:
    made = command.make_environment({"PYTHONPATH": os.pathsep.join(["/a", str(STARTUP), "/b"]), "HOME": "/h"})
    assert made == {"PYTHONPATH": os.pathsep.join([str(STARTUP), "/a", "/b"]), "HOME": "/h"}
    assert command.make_environment({})["PYTHONPATH"] == str(STARTUP)


def test_environment_passes_uvicorns_variables_on() -> None:
    made = command.make_environment({"UVICORN_PORT": "1", "UVICORN_HOST": "h", "ADDAX_HOST": "mine"})
    assert (made["ADDAX_PORT"], made["ADDAX_HOST"], made["UVICORN_PORT"]) == ("1", "mine", "1")


def test_find_command_prefers_this_pythons_scripts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "pytest"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = command.find_command(["pytest", "-q"])
    assert found is not None
    assert found[0] != str(other)
    assert found[1:] == ["-q"]
    assert command.find_command(["no-such-command-anywhere"]) is None


def test_find_command_uvicorn_without_a_script_is_addaxs_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.shutil, "which", lambda name, path: None)
    assert command.find_command(["uvicorn", "main:app"]) == [sys.executable, "-m", "uvicorn", "main:app"]


@pytest.mark.parametrize(
    ("arguments", "code", "out", "err"),
    [
        ([], 2, "", "usage: "),
        (["--"], 2, "", "usage: "),
        (["--nonsense"], 2, "", "usage: "),
        (["--help"], 0, "usage: ", ""),
        (["--", "no-such-command-anywhere"], 127, "", "addax.compat: no-such-command-anywhere: no such command\n"),
    ],
)
def test_main_without_a_command_to_run(
    arguments: list[str], code: int, out: str, err: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out.startswith(out)
    assert captured.err.startswith(err)


@pytest.mark.parametrize("arguments", [["python", "-V"], ["--", "python", "-V"]])
def test_main_becomes_the_command(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, list[str], str]] = []

    def execve(path: str, argv: list[str], environment: dict[str, str]) -> None:
        calls.append((path, argv, environment["PYTHONPATH"].split(os.pathsep)[0]))
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(command.os, "execve", execve)
    monkeypatch.setattr(command.sys, "platform", "linux")
    assert command.main(arguments) == 127
    ((path, argv, startup),) = calls
    assert argv == [path, "-V"]
    assert startup == str(STARTUP)


def test_main_on_windows_waits_for_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.sys, "platform", "win32")
    monkeypatch.setattr(command.subprocess, "call", lambda argv, env: 42 if env["PYTHONPATH"] else 0)
    assert command._run(["python", "-V"], {"PYTHONPATH": "x"}) == 42


def test_module_run_as_a_script_exits_with_mains_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["addax.compat"])
    monkeypatch.delitem(sys.modules, "addax.compat.__main__")
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("addax.compat", run_name="__main__")
    assert caught.value.code == 2


# --- sitecustomize ----------------------------------------------------------------------------------------------------


@pytest.fixture
def run_sitecustomize(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    monkeypatch.setattr(sys, "path", [str(STARTUP), *sys.path])
    monkeypatch.delitem(sys.modules, "sitecustomize", raising=False)

    def run() -> None:
        # Under its full name, so that coverage counts it as part of addax.
        name = "addax.compat.startup.sitecustomize"
        spec = importlib.util.spec_from_file_location(name, STARTUP / "sitecustomize.py")
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))

    return run


def test_sitecustomize_installs_and_runs_the_one_it_hides(
    run_sitecustomize: Callable[[], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import uvicorn\nseen = uvicorn.__file__\n")
    monkeypatch.setattr(sys, "path", [*sys.path[:1], str(tmp_path), *sys.path[1:]])
    monkeypatch.setitem(sys.modules, "sitecustomize", ModuleType("sitecustomize"))
    run_sitecustomize()
    assert compat.is_installed()
    assert sys.modules["sitecustomize"].seen == addax.__file__  # type: ignore[attr-defined]
    assert str(STARTUP) in sys.path


def test_sitecustomize_alone_runs_nothing_else(
    run_sitecustomize: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(STARTUP)])
    run_sitecustomize()
    assert compat.is_installed()
    assert "sitecustomize" not in sys.modules


def test_sitecustomize_where_addax_is_missing_says_so(
    run_sitecustomize: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "addax", None)  # what makes ``import addax`` fail
    run_sitecustomize()
    assert not compat.is_installed()
    assert capsys.readouterr().err.startswith(f"addax.compat: uvicorn is not replaced in {sys.executable}: ")
