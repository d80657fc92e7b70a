"""Finding, importing and building applications, and what is said when that fails."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from addax.config.load_app import FoundApp, ImportFromStringError, find_app, import_from_string, load_app
from addax.core.errors import AppLoadError

_numbers = itertools.count()

APP = "async def app(scope, receive, send): ...\n"


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty current directory, first on the search path; modules imported from it are forgotten."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def module(tmp_path: Path) -> Callable[[str], str]:
    """Write a module and return its name."""

    def write(source: str) -> str:
        name = f"written_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        return name

    return write


Write = Callable[[str], str]


def failure(app: Any, factory: bool = False) -> str:
    with pytest.raises(AppLoadError) as caught:
        load_app(app, factory)
    return str(caught.value)


# --- import strings ---------------------------------------------------------------------------------------------------


def test_import_string_follows_attributes(module: Write) -> None:
    name = module("class Box:\n    class inner:\n        app = 3\n")
    assert import_from_string(f"{name}:Box.inner.app") == 3


def test_import_string_passes_objects_through() -> None:
    assert import_from_string(test_import_string_passes_objects_through) is test_import_string_passes_objects_through


@pytest.mark.parametrize("text", ["main", "main:", ":app", ""])
def test_import_string_of_the_wrong_form(text: str) -> None:
    with pytest.raises(
        ImportFromStringError, match=f'^Import string "{text}" must be in format "<module>:<attribute>"'
    ):
        import_from_string(text)


def test_import_string_without_attribute_gets_an_example() -> None:
    assert failure("main").endswith('For example "main:app".')
    assert failure("main.py").endswith('For example "main:app".')


@pytest.mark.parametrize("text", [".main:app", "a..b:app"])
def test_import_string_that_is_no_module_name(text: str) -> None:
    assert f'Could not import module "{text[:-4]}".' in failure(text)


def test_missing_module_is_said_as_uvicorn_says_it() -> None:
    assert failure("nomod:app") == 'Error loading ASGI app. Could not import module "nomod".'


def test_missing_module_nearest_name(module: Write) -> None:
    name = module(APP)
    near = name.replace("written", "writen")
    assert failure(f"{near}:app").endswith(f'Could not import module "{near}". Did you mean "{name}"?')


def test_missing_submodule_nearest_name(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "server.py").write_text(APP)
    assert failure("shop.sever:app").endswith('Could not import module "shop.sever". Did you mean "shop.server"?')
    assert failure("shop.server.x:app").endswith('Could not import module "shop.server.x".')
    assert failure("shops.server:app").endswith('Could not import module "shops.server".')


@pytest.mark.parametrize(
    ("text", "dotted"), [("main.py", "main"), ("./src/main.py", "src.main"), ("src\\main", "src.main")]
)
def test_path_in_place_of_a_module_is_explained_and_nothing_runs(tmp_path: Path, text: str, dotted: str) -> None:
    (tmp_path / "main.py").write_text("raise SystemExit('it ran')")
    assert failure(f"{text}:app").endswith(f'That is a path: write the module\'s name, "{dotted}".')


def test_module_in_a_subdirectory_is_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / "service.py").write_text(APP)
    assert failure("service:app").endswith('It is in the directory "backend": add --app-dir backend.')


def test_module_in_the_current_directory_that_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "service.py").write_text(APP)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(tmp_path)])
    assert "The current directory has it, but is not searched: add --app-dir" in failure("service:app")


def test_hints_survive_a_directory_that_cannot_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> Iterator[Path]:
        raise PermissionError

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert failure("nomod:app") == 'Error loading ASGI app. Could not import module "nomod".'


def test_missing_attribute_is_said_as_uvicorn_says_it_and_hints_follow(module: Write) -> None:
    name = module(
        "class Api:\n    async def __call__(self, scope, receive, send): ...\n"
        "api = Api()\n" + APP + "def create_app(): ...\n_hidden = api\n"
    )
    assert failure(f"{name}:appp") == (
        f'Error loading ASGI app. Attribute "appp" not found in module "{name}". Did you mean "app"? '
        "What looks like an application there: api, app. What looks like a factory there (use --factory): create_app."
    )


def test_missing_attribute_without_anything_near(module: Write) -> None:
    assert failure(f"{module('one = two = 3')}:xyzzy").endswith("It has: one, two.")
    assert failure(f"{module('')}:xyzzy").endswith("It has no public names.")


# --- the user's own errors --------------------------------------------------------------------------------------------


def test_error_of_the_users_module_is_shown_with_its_frames_only(module: Write) -> None:
    helper = module("def fail():\n    raise KeyError('missing')\n")
    name = module(f"import {helper}\n{helper}.fail()\n")
    text = failure(f"{name}:app")
    assert text.startswith(
        f'Error loading ASGI app. Importing "{name}:app" failed.\n\nTraceback (most recent call last):'
    )
    assert text.endswith("KeyError: 'missing'")
    assert text.count("  File ") == 2
    assert "importlib" not in text
    assert "load_app" not in text


def test_causes_are_trimmed_as_well(module: Write) -> None:
    name = module("try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('no') from error\n")
    text = failure(f"{name}:app")
    assert "ZeroDivisionError" in text
    assert text.count("  File ") == 2


def test_missing_dependency_of_the_users_module_is_the_users_error(module: Write) -> None:
    name = module("import nomod_dependency\n")
    text = failure(f"{name}:app")
    assert "ModuleNotFoundError: No module named 'nomod_dependency'" in text
    assert f'{name}.py", line 1' in text


def test_syntax_error_of_the_users_module_is_shown(module: Write) -> None:
    text = failure(f"{module('def')}:app")
    assert "SyntaxError" in text
    assert "importlib" not in text


def test_exit_inside_the_users_module_does_not_exit(module: Write) -> None:
    assert "SystemExit: 0" in failure(f"{module('import sys; sys.exit(0)')}:app")


@pytest.mark.parametrize("error", ["TypeError", "ValueError"])
def test_import_error_types_of_ours_are_the_users_when_raised_there(module: Write, error: str) -> None:
    assert failure(f"{module(f'raise {error}(3)')}:app").endswith(f"{error}: 3")


# --- factories --------------------------------------------------------------------------------------------------------


async def application(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


def test_factory_is_called() -> None:
    assert load_app(lambda: application, factory=True) is application


def test_factory_with_arguments_is_said_as_uvicorn_says_it(module: Write) -> None:
    name = module("def mk(x): ...\n")
    assert failure(f"{name}:mk", factory=True) == (
        "Error loading ASGI app factory: mk() missing 1 required positional argument: 'x'"
    )


def test_factory_that_raises_is_shown_with_its_frames(module: Write) -> None:
    text = failure(f"{module('def mk(): raise RuntimeError(3)')}:mk", factory=True)
    assert text.startswith("Error loading ASGI app factory: 3\n\nTraceback")
    assert text.endswith("RuntimeError: 3")


def test_factory_that_returns_nothing(module: Write) -> None:
    name = module("def mk(): ...\n")
    assert failure(f"{name}:mk", factory=True).endswith(f'"{name}:mk" returned None, which is not an application.')


def test_factory_that_is_a_coroutine_function() -> None:
    assert failure(application, factory=True).endswith(
        "The application is a coroutine function; a factory must be a plain one."
    )


def test_hidden_factory_is_used_with_uvicorns_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert load_app(lambda: application) is application
    assert caplog.messages == [
        "ASGI app factory detected. Using it, but please consider setting the --factory flag explicitly."
    ]


def test_hidden_factory_that_fails_is_shown(module: Write) -> None:
    name = module("def mk(): raise TypeError('own')\ndef mk2(): raise KeyError('own')\ndef mk3(): return 3\n")
    assert failure(f"{name}:mk").endswith("TypeError: own")
    assert failure(f"{name}:mk2").endswith("KeyError: 'own'")
    assert failure(f"{name}:mk3").endswith(f'"{name}:mk3" takes no arguments and returned 3, not an application.')


def test_wrapper_of_any_arguments_is_an_application() -> None:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return application(*args, **kwargs)

    assert load_app(wrapper) is wrapper


def test_coroutine_function_of_any_arguments_is_not_called() -> None:
    async def wrapper(*args: Any) -> None:
        raise AssertionError

    assert load_app(wrapper) is wrapper


def test_callable_without_a_signature_is_not_called() -> None:
    assert load_app(iter) is iter


def test_thing_that_cannot_be_called_is_refused(module: Write) -> None:
    name = module("app = {}\n")
    assert failure(f"{name}:app") == f'Error loading ASGI app. "{name}:app" is of type dict, which cannot be called.'


# --- an application that nobody named ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"main.py": APP}, FoundApp("main:app", False)),
        ({"asgi.py": "application: object = 3"}, FoundApp("asgi:application", False)),
        ({"api.py": "from x import y as app"}, FoundApp("api:app", False)),
        ({"app.py": "class app: ..."}, FoundApp("app:app", False)),
        ({"main.py": "def create_app(): ..."}, FoundApp("main:create_app", True)),
        ({"main.py": "def create_app(): ...", "asgi.py": "app = 1"}, FoundApp("asgi:app", False)),
        ({"main.py": "app = 1", "app.py": "app = 1"}, FoundApp("main:app", False)),
        ({"main.py": "application = app = 1"}, FoundApp("main:app", False)),
        ({"main.py": "if x:\n    y, app = z\nelse:\n    pass"}, FoundApp("main:app", False)),
        ({"main.py": "try:\n    pass\nexcept E:\n    app = 1\nfinally:\n    pass"}, FoundApp("main:app", False)),
        ({"main.py": "with x:\n    import app"}, FoundApp("main:app", False)),
    ],
)
def test_application_is_found(tmp_path: Path, files: dict[str, str], found: FoundApp) -> None:
    for name, source in files.items():
        (tmp_path / name).write_text(source)
    assert find_app(tmp_path) == found


def test_files_are_read_not_run(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("app = 1\nraise SystemExit('it ran')")
    assert find_app(tmp_path).target == "main:app"


def test_nothing_found_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(AppLoadError) as caught:
        find_app(tmp_path)
    assert str(caught.value) == (
        "No application was named, and none was found: looked for app, application and create_app in main.py, app.py, "
        f"asgi.py, api.py of {tmp_path.resolve()} (which has none of these files). Name it: addax module:attribute"
    )
    (tmp_path / "main.py").write_text("def f():\n    app = 1\n")
    with pytest.raises(AppLoadError, match=r"\(which has main.py, without any of these names\)"):
        find_app(tmp_path)


@pytest.mark.parametrize(("source", "reason"), [(b"x = (\n", "line 1"), (b"x = 1\x00", "is not valid Python")])
def test_file_that_is_not_python_is_named(tmp_path: Path, source: bytes, reason: str) -> None:
    (tmp_path / "main.py").write_bytes(source)
    with pytest.raises(AppLoadError, match=r'"main.py" is not valid Python') as caught:
        find_app(tmp_path)
    assert reason in str(caught.value)
