"""A server in a process of its own, for one application of ``apps``, and what the tests ask about that process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import memory

APPS = Path(__file__).parent / "apps"
#: Longest wait for anything that ought to happen; only a broken server gets near it.
PATIENCE_S = 20.0

_BANNER = re.compile(r"Addax running on http://127\.0\.0\.1:(\d+) ")
# Warnings that Python shows name the file; those of the frameworks are their business, those of addax are ours.
_OUR_WARNING = re.compile(r"/addax/\S+\.py:\d+: \w*Warning|ResourceWarning|was never awaited")
# A file that a framework has opened in its thread pool, and left to the collector.
_THEIR_WARNING = "concurrent/futures/thread.py"


class Served:
    """``python -m addax APP --port 0``, from the banner to SIGTERM.

    Args:
        app: ``module:attribute`` of a module in ``apps``.
        arguments: further options.
        environment: further variables.
    """

    def __init__(self, app: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self._excused_count = 0
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            # Everything that Python warns of is shown, once; ResourceWarning among it.
            [sys.executable, "-W", "default", "-m", "addax", app, "--app-dir", str(APPS), "--port", "0", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    @property
    def log(self) -> str:
        """Everything that the server has written so far."""
        return "\n".join(self.lines)

    def wait_for(self, text: str) -> None:
        """Wait until a line of the log has this: the server has written it, but another thread here reads it."""
        with self._news:
            self._news.wait_for(lambda: text in self.log or not self._reader.is_alive(), PATIENCE_S)
        assert text in self.log, self.log

    def expect_error(self, text: str) -> None:
        """Wait for the traceback that a request was meant to cause, which ends with this; ``stop`` does not mind it."""

        def ends() -> list[int]:
            new = range(self._excused_count, len(self.lines))
            return [number + 1 for number in new if self.lines[number].startswith(text)]

        with self._news:
            self._news.wait_for(lambda: ends() or not self._reader.is_alive(), PATIENCE_S)
            assert ends(), self.log
            found = self.lines[self._excused_count : ends()[0]]
            self._excused_count = ends()[0]
        errors = [line for line in found if "ERROR" in line]
        assert len(errors) == 1, self.log
        assert "Exception in ASGI application" in errors[0]

    @property
    def port(self) -> int:
        """Where it listens, as the banner says."""

        def find() -> re.Match[str] | None:
            return next(filter(None, map(_BANNER.search, self.lines)), None)

        with self._news:
            self._news.wait_for(lambda: find() is not None or not self._reader.is_alive(), PATIENCE_S)
            found = find()
        assert found is not None, f"no banner in:\n{self.log}"
        return int(found[1])

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End the server by SIGTERM, and see that it ended well and had nothing to complain of."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert code == -signal.SIGTERM, f"exit code {code}:\n{self.log}"
        assert "Finished server process" in self.log, self.log
        unexpected = "\n".join(self.lines[self._excused_count :])
        assert "ERROR" not in unexpected, self.log
        assert "Traceback" not in unexpected, self.log
        complaints = [line for line in self.log.splitlines() if _OUR_WARNING.search(line)]
        assert all(_THEIR_WARNING in line for line in complaints), self.log

    # ---- memory, from /proc

    def resident_bytes(self) -> int:
        """Memory that the process has now."""
        return memory.resident_bytes(self._process.pid)

    def peak_bytes(self) -> int:
        """The most memory that it has had since ``reset_peak``."""
        return memory.peak_bytes(self._process.pid)

    def reset_peak(self) -> None:
        """Forget the peak."""
        memory.reset_peak(self._process.pid)
