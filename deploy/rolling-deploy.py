#!/usr/bin/env python3
"""Restart addax on one host after the other, behind HAProxy with deploy/haproxy.cfg, so that no request fails.

    rolling-deploy.py 'ssh {server} systemctl restart addax'

Runs where HAProxy runs. For each server of the backend: HAProxy sends it nothing new (state drain), what it has in
progress comes to its end, the command restarts it, HAProxy sends to it again (state ready), and its health check has to
succeed before the next server's turn. The command must not return before addax serves: systemctl restart of one of
Type=notify does not. If it fails, the server is left in state drain, and the others are not touched: exit code 1.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable

#: How often HAProxy is asked, in seconds.
LOOK_S = 0.2
#: How often in a row a server must have nothing to do: what it was given a moment ago may not be counted yet.
QUIET_LOOKS_COUNT = 3


class HAProxy:
    """The runtime API: https://docs.haproxy.org/2.6/management.html#9.3

    Args:
        path: of its Unix socket, with "level admin".
        backend: whose servers are meant.
    """

    def __init__(self, path: str, backend: str) -> None:
        self._path = path
        self._backend = backend

    def ask(self, command: str) -> str:
        """One command; its answer."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            try:
                sock.connect(self._path)
            except OSError as error:
                raise SystemExit(
                    f"HAProxy does not answer at {self._path}: {error.strerror or error} (--admin)"
                ) from None
            sock.sendall(command.encode() + b"\n")
            answer = b""
            while data := sock.recv(65536):
                answer += data
        return answer.decode().strip()

    def set_state(self, server: str, state: str) -> None:
        """drain or ready."""
        answer = self.ask(f"set server {self._backend}/{server} state {state}")
        if answer:
            raise SystemExit(f"HAProxy: {answer}")

    def servers(self) -> dict[str, dict[str, str]]:
        """The row of each server in its statistics, by name."""
        rows = csv.DictReader(self.ask("show stat").lstrip("# ").splitlines())
        found = {
            row["svname"]: row
            for row in rows
            if row["pxname"] == self._backend and row["svname"] not in ("FRONTEND", "BACKEND")
        }
        if not found:
            raise SystemExit(f"HAProxy has no backend {self._backend} with servers")
        return found

    def is_up(self, server: str) -> bool:
        """Whether it gets requests: enabled, and healthy."""
        return self.servers()[server]["status"].split()[0] in ("UP", "no")

    def is_quiet(self, server: str) -> bool:
        """Whether it has nothing in progress, and nothing waits for it."""
        row = self.servers()[server]
        return row["scur"] == "0" and row["qcur"] in ("0", "")


def wait(look: Callable[[], bool], bound_s: float, looks_count: int = 1) -> bool:
    """Look until it is true so many times in a row; whether it was, within the bound."""
    end_at = time.monotonic() + bound_s
    true_count = 0
    while true_count < looks_count:
        true_count = true_count + 1 if look() else 0
        if time.monotonic() >= end_at:
            return False
        time.sleep(LOOK_S)
    return True


def deploy(haproxy: HAProxy, server: str, command: str, drain_s: float, up_s: float) -> None:
    """Restart one server."""
    others = [other for other in haproxy.servers() if other != server and haproxy.is_up(other)]
    if not others:
        raise SystemExit(f"{server} is the only server that is up, and stays as it is")
    print(f"{server}: drain", flush=True)
    haproxy.set_state(server, "drain")
    if not wait(lambda: haproxy.is_quiet(server), drain_s, QUIET_LOOKS_COUNT):
        # WebSockets and endless answers. addax ends them: --timeout-shutdown-notice, --timeout-graceful-shutdown.
        print(f"{server}: still has connections after {drain_s:g} s", flush=True)
    line = command.replace("{server}", shlex.quote(server))
    print(f"{server}: {line}", flush=True)
    code = subprocess.run(line, shell=True, check=False).returncode
    if code:
        raise SystemExit(f"{server}: the command ended with {code}. It is left in state drain; the others go on.")
    haproxy.set_state(server, "ready")
    if not wait(lambda: haproxy.is_up(server), up_s):
        raise SystemExit(f"{server}: its health check does not succeed; the others go on.")
    print(f"{server}: up", flush=True)


def main() -> None:
    """Take the command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", help="restarts a server, for the shell; {server} is its name in haproxy.cfg")
    parser.add_argument("--admin", default="/run/haproxy/admin.sock", help="the stats socket (%(default)s)")
    parser.add_argument("--backend", default="app", help="the backend (%(default)s)")
    parser.add_argument("--server", action="append", help="only this one; can be given several times")
    parser.add_argument("--drain", type=float, default=60, help="longest wait for what is in progress (%(default)s s)")
    parser.add_argument("--up", type=float, default=60, help="longest wait for the health check (%(default)s s)")
    options = parser.parse_args()
    haproxy = HAProxy(options.admin, options.backend)
    for server in options.server or list(haproxy.servers()):
        deploy(haproxy, server, options.command, options.drain, options.up)


if __name__ == "__main__":
    sys.exit(main())
