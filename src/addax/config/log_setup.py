"""Set logging up: the built-in configuration, the user's own in any of its forms, levels and formats.

Called by ``config.config.Config``, and by nobody else: below it, nothing configures logging. The one place that imports
PyYAML and reads TOML.
"""

from __future__ import annotations

import json
import logging
import logging.config
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from addax.config.formatters import TRACE_LOG_LEVEL, AccessFormatter, ColourizedFormatter, DefaultFormatter
from addax.core.errors import ConfigError
from addax.observe.atoms import Template

if TYPE_CHECKING:
    from configparser import RawConfigParser

__all__ = ["LOGGING_CONFIG", "LOG_FORMATS", "LOG_LEVELS", "TRACE_LOG_LEVEL", "LogConfig", "configure_logging"]

#: What ``log_config`` may be: a ``dictConfig`` mapping; the path of a file; an INI parser or an open INI file; None.
LogConfig: TypeAlias = "dict[str, Any] | str | os.PathLike[str] | RawConfigParser | IO[Any] | None"

#: Names that ``--log-level`` accepts, in any case.
LOG_LEVELS: dict[str, int] = {
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE_LOG_LEVEL,
}

#: Names that ``--log-format`` accepts.
LOG_FORMATS = ("text", "json")

#: The default. Users copy and change it, so its shape is part of the public interface.
LOGGING_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "default": {
            "()": "addax.logging.DefaultFormatter",
            "fmt": "%(levelprefix)s %(message)s",
            "use_colors": None,
        },
        "access": {
            "()": "addax.logging.AccessFormatter",
            "fmt": '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s',
            "use_colors": None,
        },
    },
    "handlers": {
        "default": {"class": "addax.logging.ServerHandler", "formatter": "default", "stream": "ext://sys.stderr"},
        "access": {"class": "addax.logging.AccessHandler", "formatter": "access", "stream": "ext://sys.stdout"},
    },
    "loggers": {
        "addax": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "addax.error": {"level": "INFO"},
        "addax.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}

_OPTION = "--log-config"
_SECTIONS = ("formatters", "filters", "handlers", "loggers")
_LEVEL_LOGGERS = ("addax.error", "addax.access", "addax.asgi")

#: What follows the name ``addax``, or ``uvicorn``, in the names of loggers that people configure.
_AREAS = ("", ".error", ".access", ".asgi")
#: They take the same parameters as ours, which know more; and uvicorn need not be installed.
_UVICORN_FORMATTERS = tuple(
    f"uvicorn.logging.{name}" for name in ("ColourizedFormatter", "DefaultFormatter", "AccessFormatter")
)

_error_logger = logging.getLogger("addax.error")


def configure_logging(
    log_config: LogConfig,
    log_level: int | str | None,
    use_colors: bool | None,
    log_format: str = "text",
    access_format: str = "uvicorn",
    access_log: bool = True,
) -> None:
    """Set up Python's logging for this process. What is passed in is not changed.

    Args:
        log_config: see ``LogConfig``. ``.json``, ``.yaml``, ``.yml`` and ``.toml`` files hold a ``dictConfig`` mapping,
            any other file is INI for ``fileConfig``. None leaves logging as it is, but for levels.
        log_level: level of ``addax.error``, ``addax.access`` and ``addax.asgi``, whatever the configuration says; None
            leaves that to the configuration.
        use_colors: True or False overrides what the configuration says; None does not.
        log_format: ``text``, or ``json`` for one JSON object a line, on every handler that has a formatter of addax.
        access_format: ``uvicorn``, ``common``, ``combined``, ``json`` or a template, on every handler that has addax's
            ``AccessFormatter``.
        access_log: False takes the handlers from ``addax.access``.

    Raises:
        ConfigError: a value that is not known, a template with an unknown atom, a file that cannot be read or used.
    """
    _check_formats(log_format, access_format)
    level = _parse_level(log_level)
    logging.addLevelName(TRACE_LOG_LEVEL, "TRACE")
    if log_config is not None:
        _apply_config(log_config, use_colors, log_format, access_format)
    if level is not None:
        for name in _LEVEL_LOGGERS:
            logging.getLogger(name).setLevel(level)
    if not access_log:
        access = logging.getLogger("addax.access")
        access.handlers = []
        access.propagate = False


def _check_formats(log_format: str, access_format: str) -> None:
    if log_format not in LOG_FORMATS:
        raise ConfigError("--log-format", f"{log_format!r} is not one of {', '.join(LOG_FORMATS)}")
    if access_format not in ("uvicorn", "json"):
        Template(access_format)


def _parse_level(log_level: int | str | None) -> int | None:
    if log_level is None or (isinstance(log_level, int) and not isinstance(log_level, bool)):
        return log_level
    level = LOG_LEVELS.get(log_level.lower()) if isinstance(log_level, str) else None
    if level is None:
        raise ConfigError("--log-level", f"{log_level!r} is not one of {', '.join(LOG_LEVELS)}, nor a number")
    return level


def _apply_config(log_config: Any, use_colors: bool | None, log_format: str, access_format: str) -> None:
    if isinstance(log_config, os.PathLike):
        log_config = os.fspath(log_config)
    if isinstance(log_config, str):
        loader = _LOADERS.get(os.path.splitext(log_config)[1].lower())
        name = log_config
        if loader is None:
            _check_readable(name)
            found = _configure_from_ini(name, f"{name}: ")
        else:
            found = _configure_from_dict(_load(name, loader), f"{name}: ", use_colors, log_format, access_format)
    elif _is_ini_parser(log_config) or hasattr(log_config, "readline"):
        # Before the next: a parser is a Mapping too.
        found = _configure_from_ini(log_config, "")
    elif isinstance(log_config, Mapping):
        found = _configure_from_dict(log_config, "", use_colors, log_format, access_format)
    else:
        raise ConfigError(
            _OPTION, f"a {type(log_config).__name__} is not a path, a dict, an INI parser or an open file"
        )
    _warn_of_unused_formats(found, log_format, access_format)
    _take_over_from_uvicorn()


def _warn_of_unused_formats(found: set[type], log_format: str, access_format: str) -> None:
    no_use = "%s has no effect: the logging configuration does not use %s"
    if log_format != "text" and not found:
        _error_logger.warning(no_use, "--log-format", "addax.logging.DefaultFormatter or AccessFormatter")
    if access_format != "uvicorn" and AccessFormatter not in found:
        _error_logger.warning(no_use, "--access-format", "addax.logging.AccessFormatter")


def _take_over_from_uvicorn() -> None:
    """A configuration made for uvicorn names its loggers: then ours get what these have, else they would be silent.

    With addax.compat both names mean the same loggers, and there is nothing to do.
    """
    known = logging.Logger.manager.loggerDict
    if any(_is_configured(known.get(f"addax{area}")) for area in _AREAS):
        return
    theirs = {area: known.get(f"uvicorn{area}") for area in _AREAS}
    if not any(map(_is_configured, theirs.values())):
        return
    for area, logger in theirs.items():
        ours = logging.getLogger(f"addax{area}")
        # A dictConfig switches off loggers that it does not name, unless it says otherwise.
        ours.disabled = False
        if isinstance(logger, logging.Logger):
            ours.handlers[:] = logger.handlers
            ours.filters[:] = logger.filters
            ours.propagate = logger.propagate
            ours.setLevel(logger.level)


def _is_configured(logger: object) -> bool:
    return isinstance(logger, logging.Logger) and bool(logger.handlers or logger.level)


# --- Files ------------------------------------------------------------------------------------------------------------


def _load(path: str, loader: Callable[[IO[bytes]], Any]) -> Any:
    try:
        with open(path, "rb") as file:
            return loader(file)
    except OSError as error:
        raise _read_error(path, error) from error
    except ConfigError as error:
        raise ConfigError(_OPTION, f"{path}: {error.reason}") from error
    except ValueError as error:  # JSONDecodeError, TOMLDecodeError and UnicodeDecodeError are all of them.
        raise ConfigError(_OPTION, f"{path}: cannot be parsed: {_one_line(error)}") from error


def _check_readable(path: str) -> None:
    # fileConfig takes a file that is not there for an empty one (before Python 3.12).
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise _read_error(path, error) from error


def _read_error(path: str, error: OSError) -> ConfigError:
    return ConfigError(_OPTION, f"{path}: cannot be read: {error.strerror or error}")


def _load_yaml(file: IO[bytes]) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise ConfigError(_OPTION, 'YAML files need PyYAML (try: pip install "addax[standard]")') from error
    try:
        return yaml.safe_load(file)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _load_toml(file: IO[bytes]) -> Any:
    try:
        toml = import_module("tomllib")
    except ImportError:
        try:
            toml = import_module("tomli")
        except ImportError as error:
            raise ConfigError(_OPTION, "TOML files need Python 3.11 or tomli (try: pip install tomli)") from error
    return toml.load(file)


_LOADERS: dict[str, Callable[[IO[bytes]], Any]] = {
    ".json": json.load,
    ".yaml": _load_yaml,
    ".yml": _load_yaml,
    ".toml": _load_toml,
}


def _is_ini_parser(value: Any) -> bool:
    # Who has made one has imported the module; nobody else needs it.
    module = sys.modules.get("configparser")
    return module is not None and isinstance(value, module.RawConfigParser)


def _configure_from_ini(source: Any, where: str) -> set[type]:
    """Formats do not reach into INI files: what a formatter is made of is not known there before it is made."""
    import configparser

    try:
        logging.config.fileConfig(source, disable_existing_loggers=False)
    except KeyError as error:
        raise ConfigError(_OPTION, f"{where}the section or key {error} is missing") from error
    except (configparser.Error, RuntimeError) as error:
        raise ConfigError(_OPTION, f"{where}cannot be parsed: {_one_line(error)}") from error
    except Exception as error:
        raise ConfigError(_OPTION, f"{where}{_causes(error)}") from error
    return set()


# --- dictConfig -------------------------------------------------------------------------------------------------------


def _configure_from_dict(
    config: Any, where: str, use_colors: bool | None, log_format: str, access_format: str
) -> set[type]:
    """Returns which of DefaultFormatter and AccessFormatter the configuration uses."""
    _check_shape(config, where)
    config = _copy_containers(config)
    found: set[type] = set()
    formatters = config.get("formatters", {})
    for name, formatter in formatters.items():
        if formatter.get("()") in _UVICORN_FORMATTERS:
            formatter["()"] = formatter["()"].replace("uvicorn", "addax", 1)
        kind = _our_formatter(formatter.get("()"))
        if kind is None:
            continue
        if use_colors is not None:
            formatter["use_colors"] = bool(use_colors)
        if kind is DefaultFormatter or kind is AccessFormatter:
            found.add(kind)
            formatters[name] = _choose_formatter(kind, formatter, log_format, access_format)
    try:
        logging.config.dictConfig(config)
    except Exception as error:
        # Mostly ValueError, but a wrong type inside makes AttributeError or TypeError.
        raise ConfigError(_OPTION, f"{where}{_causes(error)}") from error
    return found


def _check_shape(config: Any, where: str) -> None:
    if not isinstance(config, Mapping):
        raise ConfigError(
            _OPTION, f"{where}is a {type(config).__name__}, not a mapping with version, handlers, loggers"
        )
    if "version" not in config:
        raise ConfigError(_OPTION, f"{where}the key version is missing (it has to be 1)")
    for section in _SECTIONS:
        entries = config.get(section, {})
        if not isinstance(entries, Mapping):
            raise ConfigError(_OPTION, f"{where}{section} is a {type(entries).__name__}, not a mapping")
        for name, entry in entries.items():
            if not isinstance(entry, Mapping):
                raise ConfigError(_OPTION, f"{where}{section}.{name} is a {type(entry).__name__}, not a mapping")


def _copy_containers(value: Any) -> Any:
    # Not copy.deepcopy: a dict made in Python may hold streams and classes, which are to stay themselves.
    if isinstance(value, Mapping):
        return {key: _copy_containers(item) for key, item in value.items()}
    return [_copy_containers(item) for item in value] if isinstance(value, list) else value


def _our_formatter(factory: Any) -> type | None:
    """The class, if it is one of ours or a subclass that is made like ours; else None."""
    if isinstance(factory, str):
        module, _, name = factory.rpartition(".")
        try:
            # dictConfig imports it a moment later in any case, and says what is wrong if it cannot.
            factory = getattr(import_module(module), name, None) if module else None
        except Exception:
            return None
    if not isinstance(factory, type) or not issubclass(factory, ColourizedFormatter):
        return None
    return factory if factory.__init__ is ColourizedFormatter.__init__ else None


def _choose_formatter(kind: type, formatter: dict[str, Any], log_format: str, access_format: str) -> dict[str, Any]:
    is_access = kind is AccessFormatter
    if log_format == "json" or (is_access and access_format == "json"):
        chosen: dict[str, Any] = {"()": "addax.logging.JsonFormatter"}
        if is_access:
            chosen["access_format"] = access_format
        return chosen
    if is_access and access_format != "uvicorn":
        return {"()": "addax.logging.TemplateAccessFormatter", "template": access_format}
    return formatter


# --- Errors in one line -----------------------------------------------------------------------------------------------


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _causes(error: BaseException) -> str:
    """What logging says is wrong, then why: ``Unable to configure handler 'file': No such file or directory: '/x'``."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        text = _one_line(cause) or type(cause).__name__
        # The last link is often the bare KeyError of a name that the sentence before it holds already.
        if not any(text in part for part in parts):
            parts.append(text)
        if isinstance(cause, ModuleNotFoundError) and (cause.name or "").startswith("uvicorn"):
            # From an INI file, whose classes logging imports itself.
            parts.append("in the place of uvicorn.logging write addax.logging")
        cause = cause.__cause__
    return ": ".join(parts)
