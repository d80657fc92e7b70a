"""The user's hooks: finding their module, what is refused there, and what happens when one fails."""

from __future__ import annotations

import asyncio
import itertools
import logging
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from addax.config.hooks import NAMES, HookInfo, load_hooks
from addax.core.errors import ConfigError, StartupError

_numbers = itertools.count()

INFO = HookInfo(app="main:app", worker=2, generation=1, pid=4711, addresses=("127.0.0.1:8000",))

Write = Callable[[str], str]


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


@pytest.fixture(params=["module", "file"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    """Write a module of hooks and return what names it, in both ways."""

    def write(source: str) -> str:
        name = f"written_hooks_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        return name if request.param == "module" else f"{name}.py"

    return write


def config_reason(target: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_hooks(target)
    assert caught.value.option == "--hooks"
    assert "\n" not in caught.value.reason
    return caught.value.reason


def startup_reason(target: str) -> str:
    with pytest.raises(StartupError) as caught:
        load_hooks(target)
    return str(caught.value)


# --- calling ----------------------------------------------------------------------------------------------------------

LISTENING = """
heard = []
def host_startup(info): heard.append(("host_startup", info))
def worker_start(info): heard.append(("worker_start", info))
def worker_ready(info): heard.append(("worker_ready", info))
def worker_exit(info): heard.append(("worker_exit", info))
import sys
sys.modules["heard_of_hooks"] = sys.modules[__name__]
"""


@pytest.mark.parametrize("name", NAMES)
def test_call_hands_the_info_over(write: Write, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "heard_of_hooks", sys)
    hooks = load_hooks(write(LISTENING))
    assert hooks.call(name, INFO) is None
    assert sys.modules["heard_of_hooks"].heard == [(name, INFO)]


@pytest.mark.parametrize("name", NAMES)
def test_hook_that_is_not_there_is_not_called(write: Write, name: str) -> None:
    assert load_hooks(write("host_startup = None\n")).call(name, INFO) is None


def test_ready_that_is_a_coroutine_function_works_when_it_is_awaited(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "import asyncio\nasync def worker_ready(info):\n    await asyncio.sleep(0)\n    print(info.worker)\n"
    awaitable = load_hooks(write(source)).call("worker_ready", INFO)
    assert awaitable is not None
    assert capsys.readouterr().out == ""

    async def main() -> None:
        await asyncio.ensure_future(awaitable)

    asyncio.run(main())
    assert capsys.readouterr().out == "2\n"


def test_info_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        INFO.worker = 3  # type: ignore[misc]


# --- finding ----------------------------------------------------------------------------------------------------------


def test_module_in_a_package(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "hooks.py").write_text("def worker_exit(info): 1 / 0\n", encoding="utf-8")
    load_hooks("deploy.hooks")
    load_hooks("deploy/hooks.py")
    load_hooks(str(tmp_path / "deploy" / "hooks.py"))


def test_file_may_hold_dataclasses_and_things_to_pickle(tmp_path: Path) -> None:
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass Thing:\n    x: int\n"
    )
    (tmp_path / "written_things.py").write_text(source + "def worker_exit(info): return Thing(3)\n", encoding="utf-8")
    load_hooks("written_things.py")
    thing = sys.modules["addax_hooks_written_things"].Thing(3)
    assert pickle.loads(pickle.dumps(thing)) == thing


def test_module_that_is_not_there() -> None:
    assert startup_reason("no_such_hooks") == 'Error loading hooks. Could not import module "no_such_hooks".'


def test_parent_package_that_is_not_there() -> None:
    assert startup_reason("no_such.hooks") == 'Error loading hooks. Could not import module "no_such.hooks".'


def test_module_with_nearly_that_name(tmp_path: Path) -> None:
    (tmp_path / "deploy_hooks.py").write_text("", encoding="utf-8")
    assert startup_reason("deploy_hook").endswith('Did you mean "deploy_hooks"?')


def test_path_without_its_ending(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "hooks.py").write_text("", encoding="utf-8")
    assert startup_reason("deploy/hooks").endswith(" There is a file: write deploy/hooks.py.")


@pytest.mark.parametrize("target", [".hooks", "a..b", ""])
def test_what_is_no_name(target: str) -> None:
    assert startup_reason(target).startswith(f'Error loading hooks. Could not import module "{target}".')


def test_file_that_is_not_there(tmp_path: Path) -> None:
    assert startup_reason("deploy/hooks.py") == f"Error loading hooks. There is no file {tmp_path}/deploy/hooks.py."


@pytest.mark.parametrize(
    ("source", "last"),
    [
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("import no_such_library\n", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("def f(:\n", "SyntaxError: invalid syntax"),
        ("raise SystemExit(1)\n", "SystemExit: 1"),
        ("raise ValueError('odd')\n", "ValueError: odd"),
    ],
)
def test_module_that_fails_shows_the_users_frames_only(write: Write, source: str, last: str) -> None:
    target = write(source)
    reason = startup_reason(target)
    assert reason.startswith(f'Error loading hooks. Importing "{target}" failed.\n\n')
    assert reason.endswith(last)
    assert target.removesuffix(".py") + '.py", line 1' in reason
    assert "addax" not in reason
    assert "importlib" not in reason
    assert not [name for name in sys.modules if name.endswith(target.removesuffix(".py"))]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["host_startup", "worker_start", "worker_exit"])
def test_coroutine_functions_are_for_ready_only(write: Write, name: str) -> None:
    target = write(f"async def {name}(info): pass\n")
    expected = f'{name} of "{target}" is a coroutine function, which only worker_ready may be: write it with def'
    assert config_reason(target) == expected


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("worker_started", "worker_start"),
        ("on_worker_start", "worker_start"),
        ("worker_exits", "worker_exit"),
        ("workerready", "worker_ready"),
        ("host_start_up", "host_startup"),
    ],
)
def test_name_that_is_nearly_a_hooks_is_a_mistake(write: Write, name: str, nearest: str) -> None:
    target = write(f"def worker_start(info): pass\nasync def {name}(info): pass\n")
    assert config_reason(target) == (
        f'"{target}" has a function {name}, which is not a hook. Did you mean {nearest}? '
        "If not, let its name begin with an underscore."
    )


@pytest.mark.parametrize(
    "source",
    [
        "def _worker_started(info): pass\n",
        "worker_started = True\n",
        "def migrate(): pass\ndef supervisor_exit(info): pass\ndef worker(): pass\n",
        "class worker_started: pass\n",
    ],
)
def test_other_names_are_the_users(write: Write, source: str) -> None:
    load_hooks(write(source))


def test_imported_names_are_somebody_elses(write: Write, tmp_path: Path) -> None:
    source = "def worker_started(info): pass\ndef worker_start(info): pass\n"
    (tmp_path / "written_elsewhere.py").write_text(source, encoding="utf-8")
    load_hooks(write("from written_elsewhere import worker_start, worker_started\n"))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("worker_exit = 5\n", "is of type int, which cannot be called"),
        ("def worker_exit(): pass\n", "has to take one argument, info: too many positional arguments"),
        ("def worker_exit(a, b): pass\n", "has to take one argument, info: missing a required argument: 'b'"),
        ("def worker_exit(info): yield\n", "is a generator, so a call would do nothing"),
    ],
)
def test_hook_that_cannot_be_called(write: Write, source: str, expected: str) -> None:
    target = write(source)
    assert config_reason(target) == f'worker_exit of "{target}" {expected}'


def test_ready_that_is_an_asynchronous_generator(write: Write) -> None:
    assert "is a generator" in config_reason(write("async def worker_ready(info): yield\n"))


@pytest.mark.parametrize("hook", ["lambda *arguments: None", "functools.partial(divmod, 1)", "print", "max", "str"])
def test_hook_may_be_anything_that_can_be_called(write: Write, hook: str) -> None:
    load_hooks(write(f"import functools\nworker_exit = {hook}\n"))


# --- failing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["host_startup", "worker_start"])
@pytest.mark.parametrize("failure", ["raise KeyError('x')", "raise SystemExit(4)"])
def test_failure_of_a_deciding_hook_is_raised(write: Write, name: str, failure: str) -> None:
    target = write(f"def {name}(info):\n    {failure}\n")
    with pytest.raises(StartupError) as caught:
        load_hooks(target).call(name, INFO)
    message = str(caught.value)
    assert message.startswith(f'The hook {name} of "{target}" failed.\n\nTraceback (most recent call last):\n')
    assert f"line 2, in {name}\n    {failure}" in message
    assert "config/hooks.py" not in message
    assert isinstance(caught.value.__cause__, (KeyError, SystemExit))


@pytest.mark.parametrize("name", ["worker_ready", "worker_exit"])
@pytest.mark.parametrize("failure", ["raise KeyError('x')", "raise SystemExit(4)"])
def test_failure_of_another_hook_is_logged(
    write: Write, caplog: pytest.LogCaptureFixture, name: str, failure: str
) -> None:
    target = write(f"def {name}(info):\n    {failure}\n")
    assert load_hooks(target).call(name, INFO) is None
    assert_logged(caplog, f'The hook {name} of "{target}" failed.', failure)


def test_failure_of_a_coroutine_is_logged(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    target = write("async def worker_ready(info):\n    raise KeyError('x')\n")

    async def main() -> None:
        awaitable = load_hooks(target).call("worker_ready", INFO)
        assert awaitable is not None
        await awaitable

    asyncio.run(main())
    assert_logged(caplog, f'The hook worker_ready of "{target}" failed.', "raise KeyError('x')")


def assert_logged(caplog: pytest.LogCaptureFixture, message: str, line: str) -> None:
    [record] = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("addax.error", logging.ERROR, message)
    assert line in caplog.text


def test_coroutine_that_is_cancelled_is_no_failure(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    target = write(
        "import asyncio\nasync def worker_ready(info):\n    await asyncio.get_running_loop().create_future()\n"
    )

    async def main() -> None:
        awaitable = load_hooks(target).call("worker_ready", INFO)
        assert awaitable is not None
        task = asyncio.ensure_future(awaitable)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    asyncio.run(main())
    assert caplog.records == []


def test_plain_function_that_returns_a_coroutine(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    source = "async def later(): pass\ndef worker_start(info): return later()\ndef worker_exit(info): return later()\n"
    hooks = load_hooks(write(source))
    with pytest.raises(StartupError, match="worker_start returned coroutine, which nothing can wait for here"):
        hooks.call("worker_start", INFO)
    hooks.call("worker_exit", INFO)
    assert "worker_exit returned coroutine" in caplog.text
