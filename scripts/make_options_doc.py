"""Write ``docs/options.md`` from the table of options.

``python scripts/make_options_doc.py`` writes it; with ``--check`` it only says, by its exit code, whether the file is
up to date. A test holds the two together as well.
"""

from __future__ import annotations

import sys
from pathlib import Path

from addax.config.options import APP_VARIABLE, ENV_PREFIX, GROUPS, OPTIONS, Option

TARGET = Path(__file__).resolve().parents[1] / "docs" / "options.md"

_INTRODUCTION = f"""\
# Options

<!-- Made from src/addax/config/options.py by scripts/make_options_doc.py: change the table, not this page. -->

Every option has one name: `limit_head_size` in code (`addax.run`, `addax.Config`) is `--limit-head-size` on the command
line and `{ENV_PREFIX}LIMIT_HEAD_SIZE` in the environment. The command line goes before the environment, and that before
the default. The application itself is the first argument, or `{APP_VARIABLE}`.

- **Text is read the same way everywhere**: `port="8000"` in code is `--port 8000`. Switches take `true`, `yes`, `on`,
  `1` and their opposites in the environment. Where *none* is allowed it is written `none`, and `None` in code.
- **Sizes** are bytes, or a number with `k`, `m` or `g` (powers of 1024). **Times** are seconds, fractions allowed.
- **Options that can be given several times** are lists in code. In the environment their values are separated by white
  space, directories as in `PATH`; an empty variable counts as not set.
- **A value that cannot be used** ends the command line with one line and exit code 2, and raises
  `addax.core.errors.ConfigError` (a `ValueError`) in code. A variable that looks like a misspelt option is named in a
  warning.
- `--env-file` holds variables for the application. It is read too late for `{ENV_PREFIX}…` variables, but in time for
  `WEB_CONCURRENCY` and `FORWARDED_ALLOW_IPS`.
- Options marked *new* are addax's own. All others have uvicorn's names, and uvicorn's defaults but for
  `timeout_graceful_shutdown`, which waits for ever there.
- Options marked *later* are understood, but this version has only their default: any other value is refused.
"""


def render() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *(_section(group) for group in GROUPS)])


def _section(group: str) -> str:
    rows = [_row(option) for option in OPTIONS if option.group == group]
    return "\n".join(
        [f"## {group}", "", "| Option | Value | Default | Meaning |", "| --- | --- | --- | --- |", *rows, ""]
    )


def _row(option: Option) -> str:
    cells = (_names(option), _value(option), _code(option.default_text), _meaning(option))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _names(option: Option) -> str:
    if not option.in_cli:
        return f"`{option.name}`"
    names = [option.flag, *filter(None, [option.alias])]
    if getattr(option.kind, "style", "") == "pair":
        names.append("--no-" + option.flag.removeprefix("--"))
    if option.spelling:
        names += [option.name, option.variable]
    return " ".join(f"`{name}`" for name in names)


def _value(option: Option) -> str:
    if getattr(option.kind, "style", "") in ("flag", "pair"):
        return "switch"
    text = option.kind.allowed() or option.kind.placeholder().lower()
    return f"{text} {option.kind.unit}".strip() + (", or none" if option.takes_none else "")


def _code(text: str) -> str:
    return f"`{text}`" if text and " " not in text else text


def _meaning(option: Option) -> str:
    marks = [mark for mark, holds in (("new", option.is_new), ("later", option.is_later)) if holds]
    several = " Can be given several times." if option.multiple else ""
    return option.help + several + "".join(f" *{mark}*" for mark in marks)


def main(arguments: list[str]) -> int:
    """Write or check the page; the exit code."""
    page = render()
    if "--check" in arguments:
        return 0 if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == page else 1
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
