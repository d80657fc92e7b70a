"""The command line, made from the table of options. The one place that imports click.

Everything that a value can be is known to ``config.options``; click only cuts the arguments, so that a value means the
same here, in the environment and in code. Exit codes: 2 for a wrong option, 3 for a failed start, else
the server's own.
"""

from __future__ import annotations

import logging
import os
import platform
import re
from typing import Any

import click

from addax._pure import is_compiled
from addax._version import __version__
from addax.config.checks import as_flag, check, misspelt_variables, read_environment, respell
from addax.config.kinds import Boolean, Choice, LogLevel
from addax.config.load_app import FoundApp, find_app
from addax.config.options import APP_VARIABLE, BY_NAME, GROUPS, OPTIONS, Option
from addax.core import registry
from addax.core.errors import ConfigError, StartupError

logger = logging.getLogger("addax.error")

_HELP = """Serve the ASGI application APP, written module:attribute.

Without APP, one named app or application, or a factory create_app, is looked for in main.py, app.py, asgi.py and
api.py.
"""
_EPILOG = (
    "Every option can be given as an environment variable too: ADDAX_ and the option's name in capitals, for example "
    "ADDAX_PORT, or ADDAX_APP for APP. The command line goes before the environment. Sizes may end in k, m or g."
)


_FLAG = re.compile(r"--[a-z0-9-]+")


class _UsageLine(click.ClickException):
    """A wrong option, shown as one line."""

    exit_code = 2


class _StartupLine(click.ClickException):
    """A failed start, shown as one line or as the user's own traceback."""

    exit_code = 3


class _Command(click.Command):
    """Shows options under the headings of the table, and mistakes in one line."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group, and then click's own."""
        options = (param for param in self.get_params(ctx) if isinstance(param, click.Option))
        records = {option.name: option.get_help_record(ctx) for option in options}
        for group in GROUPS:
            rows = [records.pop(option.name) for option in OPTIONS if option.group == group and option.in_cli]
            self._write(formatter, group, rows)
        self._write(formatter, "Other", list(records.values()))

    @staticmethod
    def _write(formatter: click.HelpFormatter, heading: str, rows: list[tuple[str, str] | None]) -> None:
        shown = [row for row in rows if row is not None]
        if shown:
            with formatter.section(heading):
                formatter.write_dl(shown)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Cut the arguments."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            # Without a context click leaves out the usage lines above the message.
            raise _UsageLine(error.format_message()) from None


def _click_option(option: Option) -> click.Option:
    flags = option.flag
    is_flag = isinstance(option.kind, Boolean) and option.kind.style != "value"
    if is_flag and option.kind == Boolean("pair"):
        flags += "/--no-" + option.flag.removeprefix("--")
    settings: dict[str, Any] = {"is_flag": True} if is_flag else {"metavar": option.kind.placeholder(), "type": str}
    return click.Option(
        [flags, *filter(None, [option.alias]), option.name],
        default=None,
        multiple=option.multiple,
        help=_help_text(option),
        **settings,
    )


def _help_text(option: Option) -> str:
    notes = []
    if option.default_text and option.kind != Boolean("flag"):
        notes.append(f"default: {option.default_text}")
    if option.kind.allowed() and not isinstance(option.kind, (Choice, LogLevel)):
        notes.append(option.kind.allowed() + (", or none" if option.takes_none else ""))
    if option.multiple:
        notes.append("can be given several times")
    if option.variable.removeprefix("ADDAX_").lower() != option.flag.removeprefix("--").replace("-", "_"):
        notes.append(option.variable)
    if option.is_later:
        notes.append("not available yet")
    return f"{option.help}  [{'; '.join(notes)}]" if notes else option.help


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(version_line())
        ctx.exit()


def version_line() -> str:
    """Version, interpreter, system, what ``auto`` stands for here, and which variant of addax runs."""
    loop = _auto_choice("--loop", registry.LOOPS)
    parser = _auto_choice("--http", registry.PARSERS)
    variant = "compiled" if is_compiled() else "pure Python"
    return (
        f"Running addax {__version__} with {platform.python_implementation()} {platform.python_version()} on "
        f"{platform.system()} (loop: {loop}, parser: {parser}, {variant})"
    )


def _auto_choice(option: str, table: dict[str, str]) -> str:
    try:
        return registry.resolve(option, "auto", table)[0]
    except ConfigError:
        return "none"


def _given(ctx: click.Context) -> tuple[dict[str, Any], set[str]]:
    """The values that somebody gave, and the names of those that only the environment gives."""
    environment = read_environment(os.environ)
    line = {
        name: value
        for name, value in ctx.params.items()
        if name in BY_NAME and ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    return environment | line, environment.keys() - line.keys()


def _serve_command(app: str | None, **_: Any) -> None:
    values, from_environment = _given(click.get_current_context())
    try:
        _serve(app or os.environ.get(APP_VARIABLE), check(values, as_flag))
    except ConfigError as error:
        raise _UsageLine(_explain(error, from_environment)) from error
    except StartupError as error:
        raise _StartupLine(str(error)) from error


def _serve(app: str | None, values: dict[str, Any]) -> None:
    # Not at the top: --help and --version are to come quickly.
    from addax._run import serve
    from addax.config.config import Config

    values.setdefault("app_dir", "")
    found: FoundApp | None = None
    if app is None:
        found = find_app(values["app_dir"] or ".")
        values["factory"] = values.get("factory", False) or found.is_factory
    config = Config(found.target if found else app or "", **values)
    if found:
        logger.info("Serving %s%s.", found.target, " (a factory)" if found.is_factory else "")
    for name, nearest in misspelt_variables(os.environ):
        logger.warning("The environment variable %s is not known. Did you mean %s?", name, nearest)
    serve(config)


def _explain(error: ConfigError, from_environment: set[str]) -> str:
    respelt = respell(error, as_flag)
    # Also where the option that was given is fine and what contradicts it is not to be seen on the command line.
    named = [respelt.option, *_FLAG.findall(respelt.reason)]
    for name in sorted(from_environment, key=lambda name: BY_NAME[name].flag != respelt.option):
        if BY_NAME[name].flag in named:
            return f"{respelt} (from the environment variable {BY_NAME[name].variable})"
    return str(respelt)


main = _Command(
    "addax",
    callback=_serve_command,
    params=[
        click.Argument(["app"], required=False),
        *(_click_option(option) for option in OPTIONS if option.in_cli),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Show the version, the interpreter, the loop and parser of auto, and whether addax is compiled.",
        ),
    ],
    help=_HELP,
    epilog=_EPILOG,
    context_settings={"max_content_width": 110},
)
