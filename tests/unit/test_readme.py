"""The README and the other pages say what is there: commands, links, files, options, and code that compiles."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from addax.config.checks import check
from addax.config.options import BY_NAME, ENV_PREFIX, OPTIONS
from addax.core.errors import ConfigError

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.md")])
PAGE_IDS = [str(page.relative_to(ROOT)) for page in PAGES]
SCRIPTS = [
    f"scripts/{name}"
    for name in ("serve-example", "test", "install-test-programs", "check", "check-dist", "check-deploy")
] + [".ci/run"]
#: Of gunicorn, docker, pip, systemctl and so on, as the pages use them.
FLAGS_OF_OTHERS = {
    *(
        "--access-logfile",
        "--build-arg",
        "--cacert",
        "--capture-output",
        "--cert",
        "--cpus",
        "--create-home",
        "--key",
        "--location",
        "--unix-socket",
        "--error-logfile",
        "--from",
        "--memory",
        "--no-cache-dir",
    ),
    *("--kill-whom", "--no-install-recommends", "--now", "--rm", "--signal", "--time", "--uid"),
}

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_VARIABLE = re.compile(r"\bADDAX_[A-Z][A-Z0-9_]*")
_MODULE = re.compile(r"`((?:core|asgi|observe|http1|websocket|net|loops|config|server|supervise)/[\w/]+\.pyx?)`")


def read(page: Path) -> str:
    return page.read_text("utf-8")


def blocks(text: str, *languages: str) -> Iterator[str]:
    """The fenced blocks in one of the languages."""
    for language, content in _FENCE.findall(text):
        if language in languages:
            yield content


def anchors(page: Path) -> set[str]:
    """What a heading of the page can be linked by."""
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(_FENCE.sub("", read(page)))]
    return {heading.strip().replace(" ", "-") for heading in plain}


def test_readme_has_the_two_commands_on_a_line_of_their_own() -> None:
    lines = [line for block in blocks(read(ROOT / "README.md"), "sh") for line in block.splitlines()]
    assert "./scripts/serve-example" in lines
    assert "./scripts/test" in lines


def test_continuous_integration_runs_the_command_of_the_readme() -> None:
    text = read(ROOT / ".ci/run")
    assert re.search(r"^COVERAGE=1 .*\./scripts/test$", text, re.MULTILINE)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell and its permission bits")
@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_executable_and_parse(script: str) -> None:
    path = ROOT / script
    assert path.stat().st_mode & 0o111 == 0o111
    shell = read(path).splitlines()[0].removeprefix("#!").split()[-1].rsplit("/", 1)[-1]
    subprocess.run([shell, "-n", str(path)], check=True, stdin=subprocess.DEVNULL, timeout=30)


def test_benchmark_table_has_a_place() -> None:
    text = read(ROOT / "README.md")
    assert text.count("<!-- benchmark:begin -->") == text.count("<!-- benchmark:end -->") == 1
    assert text.index("<!-- benchmark:begin -->") < text.index("<!-- benchmark:end -->")


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_FENCE.sub("", read(page))):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_python_in_pages_compiles(page: Path) -> None:
    for block in blocks(read(page), "python"):
        compile(block, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def command_lines(text: str) -> Iterator[list[str]]:
    """Words after ``addax`` where it starts a command: in blocks, in cells of a table, in a unit file, in a console."""
    places = [line for block in blocks(text, "sh", "console", "ini") for line in block.splitlines()]
    places += re.findall(r"`(addax [^`]+)`", _FENCE.sub("", text))
    for place in places:
        found = re.match(r"(?:\$ |ExecStart=\S*/|\w+=\S+ )?addax\b(.*)", place.partition("   #")[0])
        if found:
            yield found[1].split()


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_command_lines_use_flags_that_exist(page: Path) -> None:
    flags = {option.flag for option in OPTIONS if option.in_cli} | {"--help", "--version"}
    switched_off = {"--no-" + option.name.replace("_", "-") for option in OPTIONS}
    for words in command_lines(read(page)):
        assert {word for word in words if word.startswith("--")} <= flags | switched_off, words


@pytest.mark.parametrize(
    "page", ["README.md", "docs/migration.md", "docs/deployment.md", "docs/index.md", "docs/workers.md"]
)
def test_flags_named_in_text_exist(page: str) -> None:
    known = {option.flag for option in OPTIONS} | {"--help", "--version"} | FLAGS_OF_OTHERS
    known |= {"--no-" + option.flag[2:] for option in OPTIONS if getattr(option.kind, "style", "") == "pair"}
    assert set(_FLAG.findall(read(ROOT / page))) <= known


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_variables_named_in_pages_exist(page: Path) -> None:
    variables = {option.variable for option in OPTIONS} | {ENV_PREFIX + "APP"}
    of_the_build = set(_VARIABLE.findall(read(ROOT / "setup.py")))
    assert set(_VARIABLE.findall(read(page))) <= variables | of_the_build


@pytest.mark.parametrize(
    ("page", "name", "value", "quote"),
    [
        ("README.md", "http2", True, "\nError: {}\n"),
    ],
)
def test_what_is_said_to_be_coming_is_refused_with_the_words_that_are_quoted(
    page: str, name: str, value: object, quote: str
) -> None:
    with pytest.raises(ConfigError) as error:
        check({name: value}, lambda option: BY_NAME[option].flag)
    assert quote.format(error.value) in read(ROOT / page)


def test_defaults_quoted_in_migration_are_those_of_the_table() -> None:
    text = read(ROOT / "docs/migration.md")
    for flag, default in re.findall(r"^\| `--([a-z-]+)`[^|]*\| (\d+) (?:s|KiB|field lines) \|", text, re.MULTILINE):
        value = BY_NAME[flag.replace("-", "_")].default
        assert value in (int(default), int(default) * 1024), flag


def test_modules_named_in_architecture_exist() -> None:
    modules = set(_MODULE.findall(read(ROOT / "docs/architecture.md")))
    assert modules
    assert {module for module in modules if not (ROOT / "src/addax" / module).is_file()} == set()


def test_the_map_of_the_floors_is_complete() -> None:
    package = ROOT / "src/addax"
    plan = next(block for block in blocks(read(ROOT / "docs/architecture.md"), "") if block.startswith("src/addax/"))
    named = set(re.findall(r"\w+\.pyx?", plan))
    assert named <= {path.name for path in package.rglob("*.py*") if path.suffix in (".py", ".pyx")}
    rooms = ("core", "asgi", "observe", "http1", "websocket", "net", "loops", "config", "server", "supervise")
    paths = [path for room in rooms for path in (package / room).glob("*.py*") if path.suffix in (".py", ".pyx")]
    modules = {path.name for path in paths} - {"__init__.py"}
    assert modules <= named, "a new module wants a place in docs/architecture.md"


def test_every_room_is_in_the_architecture() -> None:
    text = read(ROOT / "docs/architecture.md")
    rooms = {path.parent.name for path in (ROOT / "src/addax").glob("*/*.py")}
    assert {room for room in rooms if f"{room}/" not in text} == set()


def test_the_image_recipe_of_the_page_is_the_file() -> None:
    recipe = next(blocks(read(ROOT / "docs/deployment.md"), "dockerfile"))
    assert recipe == read(ROOT / "deploy/Dockerfile")


def test_other_python_is_another_minor_version() -> None:
    answer = subprocess.run(
        [sys.executable, str(ROOT / "scripts/other_python.py")], capture_output=True, text=True, timeout=120, check=True
    )
    found = answer.stdout.strip()
    if found:
        ask = [found, "-c", "import json, sys; print(json.dumps(sys.version_info[:2]))"]
        version = json.loads(subprocess.run(ask, capture_output=True, text=True, timeout=60, check=True).stdout)
        assert version != list(sys.version_info[:2])
        assert version >= [3, 10]
