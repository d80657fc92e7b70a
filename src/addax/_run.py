"""``addax.run``: serve an application from a program, the way the command line does.

The edge: here it is decided which kind of server runs, and its end becomes an exit code. A supervisor, a reloader and a
server know nothing of each other; what one needs of the other is put together here.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ParamSpec

from addax.config.config import STARTUP_FAILURE, Config
from addax.config.kinds import FoundCount
from addax.config.process_title import set_main_title
from addax.core.errors import ConfigError, StartupError
from addax.net import listen
from addax.net.listen import Listener
from addax.net.notify import Notifier
from addax.server.announcing import Announcer
from addax.server.banner import log_running
from addax.server.boot import Boot
from addax.server.hooking import WorkerHooks
from addax.server.server import Server

if TYPE_CHECKING:
    import socket

    from addax.supervise.privileges import Identity
    from addax.supervise.running import Plan

P = ParamSpec("P")

logger = logging.getLogger("addax.error")

#: Options that are the supervisor's, or that it has followed already, as its workers get them.
_DONE_ALREADY: dict[str, Any] = {
    "app_dir": None,
    "env_file": None,
    "workers": 1,
    "supervise": False,
    "reload": False,
    "reload_dirs": None,
    "reload_includes": None,
    "reload_excludes": None,
}


def _takes_what(_: Callable[P, object]) -> Callable[[Callable[..., None]], Callable[P, None]]:
    """Give a function the parameters of another one, for editors and type checkers."""

    def same(function: Callable[..., None]) -> Callable[P, None]:
        return function

    return same


@_takes_what(Config)
def run(*args: Any, **options: Any) -> None:
    """Serve an application until a signal asks for a stop.

    Takes the arguments of ``Config``: the application, or where it is (``"main:app"``), and options by name.

    Raises:
        ConfigError: an option's value cannot be used; it is a ``ValueError`` too.
        SystemExit: with code 3, when the server could not start; the reason was logged. A stop by SIGTERM ends the
            process by that signal, once everything is done; a stop by SIGINT returns. With several workers, or with
            reload, both return.
    """
    serve(Config(*args, **options))


run.__signature__ = inspect.signature(Config)  # type: ignore[attr-defined]  # read by inspect, unknown to typing


def serve(config: Config) -> None:
    """Serve what a Config says; otherwise as ``run``."""
    if config.ssl_context_factory is None:
        # Before an application is started, perhaps for minutes, and while this process may read a key that is root's.
        config.load_tls()
    if isinstance(config.workers, FoundCount) and not config.should_reload:
        logger.info("Workers: %d (auto: %s).", config.workers, config.workers.reason)
    try:
        if not config.use_subprocess:
            _serve_alone(config)
            return
        if not isinstance(config.app, str):
            logger.warning("You must pass the application as an import string to enable 'reload' or 'workers'.")
            sys.exit(STARTUP_FAILURE)
        code = supervise(config)
    except StartupError as error:
        logger.error("%s", error)
        sys.exit(error.exit_code)
    if code:
        sys.exit(code)


# ---- one process


def _serve_alone(config: Config) -> None:
    from addax.supervise.pid_file import PidFile

    set_main_title("server", _app_name(config), config.process_title)
    notifier = Notifier.take()
    # Before the application is imported, which may take a while.
    listen.find_owners(config.settings().listen)
    listener = _bind_early(config)
    hooks = WorkerHooks(os.fspath(config.hooks), _app_name(config)) if config.hooks is not None else None
    if hooks is not None:
        hooks.host_startup()
        hooks.start()
    # Outside of the event loop, so that a module may run one of its own while it is imported.
    config.load_app()
    server = Server(config)
    if hooks is not None:
        server.hooks = hooks
    server.announcer = Announcer(notifier)
    if listener is not None:
        server.listen_on(listener)
    pid_file = PidFile(os.fspath(config.pid_file)) if config.pid_file is not None else None
    if pid_file is not None:
        pid_file.write()
    try:
        server.run()
    except KeyboardInterrupt:
        # The graceful stop is over; a traceback would only look like a failure.
        pass
    finally:
        if pid_file is not None:
            pid_file.remove()
        notifier.close()
    if server.startup_error is not None:
        sys.exit(STARTUP_FAILURE)


def _bind_early(config: Config) -> Listener | None:
    """Take what was passed before anything else is started; bind, while that is allowed, and give the rights up.

    Returns:
        None: there is no reason to be early.
    """
    identity: Identity | None = None
    if config.user is not None or config.group is not None:
        from addax.supervise import privileges

        identity = privileges.resolve(config.user, config.group)
    settings = config.settings().listen
    if identity is None and not any(isinstance(bind.fd, str) for bind in settings.binds):
        return None
    listener = listen.open_listener(settings)
    if identity is not None:
        listener.chown(identity.uid, identity.gid)
        privileges.drop(identity)
        privileges.check_installation(identity)
    return listener


# ---- several


def supervise(
    config: Config,
    sockets: Sequence[socket.socket] | None = None,
    server_class: type[Server] | None = None,
    reloads: bool | None = None,
) -> int:
    """Serve with workers, or reload.

    Args:
        config: what to serve; its application is a string.
        reloads: whether to reload; None: as the config says.
        sockets: listen on these instead of what the config says.
        server_class: makes the server of each process; None: ``Server``.

    Returns:
        The exit code.

    Raises:
        ConfigError: an option's value cannot be used.
        StartupError: an address, the pid file or the other user cannot be had; it was not logged.
    """
    reloads = config.should_reload if reloads is None else reloads
    if sys.platform == "win32":
        option = "reload" if reloads else "workers"
        raise ConfigError(option, "needs a POSIX system: addax cannot hand sockets to other processes on Windows yet")
    from addax.supervise import running

    plan = _make_plan(config, sockets, server_class)
    if not reloads:
        return running.run(plan, running.supervise_workers)
    if (config.workers or 1) != 1:
        logger.warning('"workers" flag is ignored when reloading is enabled.')
    return running.run(plan, functools.partial(_reload, config))


def _make_plan(config: Config, sockets: Sequence[socket.socket] | None, server_class: type[Server] | None) -> Plan:
    from addax.supervise import privileges
    from addax.supervise.running import Plan
    from addax.supervise.sockets import WorkerSockets

    settings = config.settings()
    scheme = "https" if config.is_ssl else "http"
    return Plan(
        app=_app_name(config),
        settings=settings,
        boot=_make_boot(config, server_class).dump(),
        announce=functools.partial(log_running, logger, settings.listen.binds if sockets is None else (), scheme),
        identity=privileges.resolve(config.user, config.group),
        pid_file=None if config.pid_file is None else os.fspath(config.pid_file),
        process_title=config.process_title,
        has_hooks=config.hooks is not None,
        sockets=None if sockets is None else WorkerSockets.given(settings.listen, sockets),
    )


def _make_boot(config: Config, server_class: type[Server] | None) -> Boot:
    from addax.config.log_setup import LOGGING_CONFIG

    options = {field.name: getattr(config, field.name) for field in fields(config) if field.init}
    options.update(_DONE_ALREADY)
    del options["app"]
    if options["log_config"] is LOGGING_CONFIG:
        # As it is in the worker's own version of addax.
        del options["log_config"]
    return Boot(_app_name(config), options, list(sys.argv), server_class)


async def _reload(config: Config, office: Any) -> int:
    from addax.supervise.patterns import make_rules
    from addax.supervise.reloader import Reloader
    from addax.supervise.watching import make_watcher

    rules = make_rules(
        config.reload_dirs or [], config.reload_includes or [], config.reload_excludes or [], os.getcwd()
    )
    watcher = make_watcher(rules, config.reload_delay)
    return await Reloader(office, watcher, list(rules.directories)).run()


def _app_name(config: Config) -> str:
    return config.app if isinstance(config.app, str) else getattr(config.app, "__name__", type(config.app).__name__)
