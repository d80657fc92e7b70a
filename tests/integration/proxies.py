"""nginx and HAProxy with the files of ``deploy/``, each in a process. Ports, paths and times are other ones.

with Nginx(tmp_path, {"server unix:/run/addax/http.sock;": f"server 127.0.0.1:{port};"}) as proxy:
    with socket.create_connection(proxy.address) as client:
        ...
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import PATIENCE_S
from processes import until

DEPLOY = Path(__file__).parents[2] / "deploy"


def find_program(name: str) -> str | None:
    """Its path; where Debian puts it is not on everybody's PATH."""
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin")


def substitute(text: str, changes: Mapping[str, str]) -> str:
    """Replace parts of a text, each of which is there exactly once: a test is not to be about another file."""
    for old, new in changes.items():
        assert text.count(old) == 1, f"{text.count(old)} times in the file: {old!r}"
        text = text.replace(old, new)
    return text


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


class Proxy:
    """A proxy in a process, from ``__enter__``, where it accepts connections, to ``__exit__``.

    Args:
        folder: for its configuration and what it writes.
        changes: parts of its configuration and what to write in their places.
        prefix: of the command line.
        host: address to listen at.

    Attributes:
        address: where it listens.
    """

    program = ""
    config = ""
    #: It does not look into requests, and says who the client is by the PROXY protocol.
    hands_on_bytes = False
    #: What ends it at once, connections included.
    stop_signal = signal.SIGTERM

    def __init__(
        self, folder: Path, changes: Mapping[str, str], prefix: tuple[str, ...] = (), host: str = "127.0.0.1"
    ) -> None:
        self.folder = folder
        self.address = (host, free_port())
        self._prefix = prefix
        path = folder / self.config
        own = substitute((DEPLOY / self.config).read_text("utf-8"), self._own_changes())
        path.write_text(substitute(own, changes))
        self._log = folder / f"{self.program}.log"
        self._arguments = self._command(str(path))

    @classmethod
    def why_missing(cls) -> str | None:
        """Why it cannot be started here; None if it can."""
        return None if find_program(cls.program) else f"{cls.program} is not installed"

    def _own_changes(self) -> dict[str, str]:
        raise NotImplementedError

    def _command(self, path: str) -> tuple[str, ...]:
        raise NotImplementedError

    def __enter__(self) -> Proxy:
        program = find_program(self.program)
        assert program is not None, f"{self.program} is not installed"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*self._prefix, program, *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Nobody's terminal is to stop it, and it is told to stop by nobody else.
                start_new_session=True,
            )
        try:
            until(self._is_ready, PATIENCE_S, self.describe)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.describe()
        try:
            self._look()
        except OSError:
            return False
        return True

    def _look(self) -> None:
        """Find out whether it accepts connections.

        Raises:
            OSError: not yet.
        """
        socket.create_connection(self.address, PATIENCE_S).close()

    def __exit__(self, *_error: Any) -> None:
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def log_lines(self) -> list[str]:
        """What it has written so far."""
        return self._log.read_text("utf-8", "replace").splitlines()

    def describe(self) -> str:
        """Its last lines, for a message."""
        return "\n".join([f"{self.program}, {self.process.args!r}", *self.log_lines()[-40:]])


class Nginx(Proxy):
    """nginx with ``deploy/nginx.conf``."""

    program = "nginx"
    config = "nginx.conf"

    def _own_changes(self) -> dict[str, str]:
        host, port = self.address
        temporary = "".join(
            f"{name}_temp_path {self.folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return {
            **self._changes_of_the_process(),
            "access_log /var/log/nginx/access.log;": f"access_log off;\n{temporary}",
            "listen 80 default_server;": f"listen {host}:{port} default_server;",
        }

    def _changes_of_the_process(self) -> dict[str, str]:
        return {
            # Only root may change it, and another one may not look into the folder of root's test.
            "user www-data;\n": f"user {pwd.getpwuid(0).pw_name};\n" if os.getuid() == 0 else "",
            "worker_processes auto;": "worker_processes 2;\ndaemon off;",
            "/run/nginx.pid": f"{self.folder}/nginx.pid",
            "error_log /var/log/nginx/error.log": "error_log stderr",
        }

    def _command(self, path: str) -> tuple[str, ...]:
        return ("-c", path, "-p", str(self.folder), "-e", "stderr")


class NginxStream(Nginx):
    """nginx with ``deploy/nginx-stream.conf``."""

    config = "nginx-stream.conf"
    hands_on_bytes = True

    @classmethod
    def why_missing(cls) -> str | None:
        """See ``Proxy``."""
        reason = super().why_missing()
        if reason is None and cls._find_module() is None:
            return "nginx has no stream module here (Debian: libnginx-mod-stream)"
        return reason

    @staticmethod
    def _find_module() -> str | None:
        """The file of the stream module; empty if nginx has it built in, None if it has none."""
        program = find_program("nginx")
        assert program is not None
        said = subprocess.run([program, "-V"], capture_output=True, text=True, check=True).stderr
        if re.search(r"--with-stream(?!\S)", said):
            return ""
        folder = re.search(r"--modules-path=(\S+)", said)
        path = Path(folder[1]) / "ngx_stream_module.so" if folder is not None else None
        return str(path) if path is not None and path.is_file() else None

    def _own_changes(self) -> dict[str, str]:
        host, port = self.address
        module = self._find_module()
        return {
            **self._changes_of_the_process(),
            "load_module modules/ngx_stream_module.so;": f"load_module {module};" if module else "",
            "listen 80;": f"listen {host}:{port};",
        }


class HAProxy(Proxy):
    """HAProxy with ``deploy/haproxy.cfg``."""

    program = "haproxy"
    config = "haproxy.cfg"

    @property
    def admin_path(self) -> str:
        """Of the socket of its runtime API."""
        return str(self.folder / "admin.sock")

    def _own_changes(self) -> dict[str, str]:
        host, port = self.address
        return {
            "log /dev/log local0": "log stderr format raw local0 notice",
            "    user haproxy\n    group haproxy\n": "",
            "/run/haproxy/admin.sock": self.admin_path,
            "bind :80\n": f"bind {host}:{port}\n",
        }

    def _command(self, path: str) -> tuple[str, ...]:
        return ("-db", "-f", path)

    def _look(self) -> None:
        # Its port may be in another network.
        self.ask("show info")

    def ask(self, command: str) -> str:
        """Ask the runtime API."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(self.admin_path)
            sock.sendall(command.encode() + b"\n")
            answer = b""
            while data := sock.recv(65536):
                answer += data
        return answer.decode()


class HAProxyTcp(HAProxy):
    """HAProxy with ``deploy/haproxy-tcp.cfg``."""

    config = "haproxy-tcp.cfg"
    hands_on_bytes = True
