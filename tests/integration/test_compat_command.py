"""``python -m addax.compat`` with real processes: commands, their children, and what they serve."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import PATIENCE_S

import addax
from addax.compat import UVICORN_VERSION

pytestmark = pytest.mark.network

COMPAT = [sys.executable, "-m", "addax.compat", "--"]
WHO = "import uvicorn; print(uvicorn.__file__, uvicorn.__version__)"
US = f"{addax.__file__} {UVICORN_VERSION}"

APP = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})
"""


def run(*command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMPAT, *command],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )


@contextmanager
def served(*command: str, folder: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], list[str], str]]:
    """Run a command that serves; yields the process, the lines that it writes, and the URL of its banner."""
    process = subprocess.Popen(
        [*COMPAT, *command],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    assert process.stdout is not None
    # Ends the process, and so the reading of its lines, if it never says what is waited for.
    watchdog = threading.Timer(2 * PATIENCE_S, process.kill)
    watchdog.start()
    lines: list[str] = []
    try:
        url = None
        for line in process.stdout:
            lines.append(line.rstrip())
            url = re.search(r"Addax running on (http://[^ ]+)", line)
            if url:
                break
        assert url is not None, "\n".join(lines)
        yield process, lines, url[1].replace("0.0.0.0", "127.0.0.1")
        process.terminate()
        lines += process.stdout.read().splitlines()
        process.wait()
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdout.close()


def get(url: str) -> tuple[str, str]:
    """The Server field and the body of an answer."""
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return answer.headers["server"], answer.read().decode()


def test_command_exit_code_is_passed_on(tmp_path: Path) -> None:
    done = run("python", "-c", "import sys; print('out'); sys.exit(7)", folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals that end a process")
def test_command_killed_by_a_signal_looks_so(tmp_path: Path) -> None:
    done = run("python", "-c", "import os; os.kill(os.getpid(), 15)", folder=tmp_path)
    assert done.returncode == -signal.SIGTERM


@pytest.mark.parametrize(
    "code",
    [
        WHO,
        f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {WHO!r}]))",
        f"import subprocess, sys; sys.exit(subprocess.call([*{COMPAT!r}, 'python', '-c', {WHO!r}]))",
    ],
    ids=["itself", "child", "nested"],
)
def test_command_and_children_import_addax_as_uvicorn(code: str, tmp_path: Path) -> None:
    done = run("python", "-c", code, folder=tmp_path)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, US, "")


def test_command_child_of_multiprocessing_imports_addax_as_uvicorn(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing\n"
        f"def work():\n    {WHO}\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context('spawn').Process(target=work)\n"
        "    process.start()\n"
        "    process.join()\n"
    )
    done = run("python", str(script), folder=tmp_path)
    assert (done.stdout.strip(), done.stderr) == (US, "")


def test_command_runs_the_users_own_sitecustomize_too(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import addax.compat\nprint('mine', addax.compat.is_installed())\n")
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = run("python", "-c", WHO, folder=tmp_path, PYTHONPATH=paths)
    # First in the process that becomes the command, then in the command.
    assert done.stdout.splitlines() == ["mine False", "mine True", US]


def test_command_python_without_addax_says_that_it_is_not_reached(tmp_path: Path) -> None:
    # An empty package in front: to the child it is as if addax were not installed.
    empty = tmp_path / "elsewhere"
    (empty / "addax").mkdir(parents=True)
    (empty / "addax" / "__init__.py").write_text("")
    startup = str(Path(addax.__file__).parent / "compat" / "startup")
    code = (
        "import os, subprocess, sys\n"
        f"os.environ['PYTHONPATH'] = os.pathsep.join([{startup!r}, {str(empty)!r}])\n"
        "sys.exit(subprocess.call([sys.executable, '-c', 'print(1)']))"
    )
    done = run("python", "-c", code, folder=tmp_path)
    assert done.stdout == "1\n"
    assert done.stderr.startswith("addax.compat: uvicorn is not replaced in ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [["uvicorn"], ["python", "-m", "uvicorn"]], ids=["script", "module"])
def test_uvicorn_command_serves_with_addax(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APP)
    with served(*command, "main:app", "--lifespan", "off", folder=tmp_path, UVICORN_PORT="0") as (process, lines, url):
        assert get(url) == ("addax", "hello")
    assert any(line.endswith('"GET / HTTP/1.1" 200 OK') for line in lines)
    assert process.returncode == -signal.SIGTERM


PROGRAM = (
    APP
    + """
import logging
from uvicorn import Server, run
from uvicorn.logging import AccessFormatter

class Count(logging.Filter):
    def filter(self, record):
        record.seen_by = "my filter"
        return True

def patched(self, sig, frame):
    print("patched handle_exit", flush=True)
    original(self, sig, frame)

# As sse-starlette does it.
original = Server.handle_exit
Server.handle_exit = patched

if __name__ == "__main__":
    logging.getLogger("uvicorn.access").addFilter(Count())
    run("program:app", port=0, lifespan="off", log_config={
        "version": 1,
        "disable_existing_loggers": True,
        "formatters": {
            "access": {"()": AccessFormatter, "fmt": "%(name)s %(seen_by)s %(request_line)s", "use_colors": False},
            "error": {"()": "uvicorn.logging.DefaultFormatter", "fmt": "%(name)s %(message)s"},
        },
        "handlers": {
            "access": {"class": "logging.StreamHandler", "formatter": "access"},
            "error": {"class": "logging.StreamHandler", "formatter": "error"},
        },
        "loggers": {
            "uvicorn": {"handlers": ["error"], "level": "INFO", "propagate": False},
            "uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
        },
    })
"""
)


def test_program_with_loggers_filters_and_patches_of_uvicorn_keeps_them(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    with served("python", "program.py", folder=tmp_path) as (process, lines, url):
        assert get(url) == ("addax", "hello")
    assert "uvicorn.access my filter GET / HTTP/1.1" in lines
    assert "patched handle_exit" in lines
    assert any(line.startswith("uvicorn.error Finished server process [") for line in lines)
    assert process.returncode == -signal.SIGTERM


FASTAPI_APP = """
from fastapi import FastAPI

app = FastAPI()

@app.get("/items/{item}")
async def read(item: int):
    return {"item": item}
"""


def test_fastapi_run_serves_with_addax(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(FASTAPI_APP)
    command = ["fastapi", "run", "main.py", "--host", "127.0.0.1", "--port", "0"]
    with served(*command, folder=tmp_path, COLUMNS="200") as (process, lines, url):
        assert get(f"{url}/items/7") == ("addax", '{"item":7}')
    assert any("Starting FastAPI in production mode" in line for line in lines)
    assert any('"GET /items/7 HTTP/1.1" 200 OK' in line for line in lines)
    assert process.returncode == -signal.SIGTERM


def test_fastapi_dev_reloads_with_addax(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(FASTAPI_APP)
    command = ["fastapi", "dev", "main.py", "--host", "127.0.0.1", "--port", "0"]
    with served(*command, folder=tmp_path, COLUMNS="200", PYTHONDONTWRITEBYTECODE="1") as (process, lines, url):
        assert get(f"{url}/items/7") == ("addax", '{"item":7}')
        (tmp_path / "main.py").write_text(FASTAPI_APP.replace('{"item"', '{"changed"'))
        until_line(process, lines, "Finished server process")
        assert get(f"{url}/items/7") == ("addax", '{"changed":7}')
    assert any("detected changes in 'main.py'. Reloading..." in line for line in lines)
    assert process.returncode == 0


def test_supervisors_of_uvicorn_are_ours(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "program.py").write_text(
        "import uvicorn\n"
        "from uvicorn.supervisors import Multiprocess\n"
        "if __name__ == '__main__':\n"
        "    config = uvicorn.Config('app:app', port=0, workers=2)\n"
        "    Multiprocess(config, target=uvicorn.Server(config).run, sockets=[config.bind_socket()]).run()\n"
    )
    with served("python", "program.py", folder=tmp_path) as (process, lines, url):
        assert get(url) == ("addax", "hello")
        until_line(process, lines, "Application startup complete.", 2)
    assert process.returncode == 0
    assert any(line.endswith(f"Started parent process [{process.pid}]") for line in lines)


def until_line(process: subprocess.Popen[str], lines: list[str], text: str, count: int = 1) -> None:
    """Read on until a line was there so often; ``served`` has a bound."""
    assert process.stdout is not None
    while sum(text in line for line in lines) < count:
        line = process.stdout.readline()
        assert line, lines
        lines.append(line.rstrip())
