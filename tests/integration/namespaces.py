"""Hosts of a network: network namespaces of Linux, joined by a bridge. Takes root, or the same rights.

with Network(["app1", "app2"]) as network:
    server = Supervised(folder, "--host", network.address("app1"), prefix=network.inside("app1"))

Everything lies within the namespaces, so with them all of it goes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

_PREFIX = "addax-test"
_FOLDER = Path("/run/netns")


def why_not() -> str:
    """Why there can be no namespaces here; empty if there can."""
    if shutil.which("ip") is None:
        return "the command ip (iproute2) is not installed"
    name = f"{_PREFIX}-{os.getpid()}-probe"
    probes = (
        ("netns", "add", name),
        ("-n", name, "link", "add", "probe0", "type", "veth", "peer", "name", "probe1"),
        ("-n", name, "link", "add", "probe2", "type", "bridge"),
    )
    try:
        for probe in probes:
            _ip(*probe)
    except subprocess.CalledProcessError as error:
        return f"network namespaces with virtual links are not permitted here: {error.stderr.strip()}"
    finally:
        _delete(name)
    return ""


class Network:
    """A router with hosts behind it and one in front of it, from ``__enter__`` to ``__exit__``.

    The router is "edge", 10.77.0.1 inside and 10.78.0.1 outside; the host in front of it is "outside", 10.78.0.2. It
    forwards nothing, so what comes in has to come through a proxy.

    Args:
        hosts: names of those behind it.
    """

    def __init__(self, hosts: list[str]) -> None:
        self._addresses = {"edge": "10.78.0.1", "outside": "10.78.0.2"}
        self._hosts = hosts
        for number, host in enumerate(hosts, 11):
            self._addresses[host] = f"10.77.0.{number}"
        self.inner_address = "10.77.0.1"

    def __enter__(self) -> Network:
        _remove_those_of_the_dead()
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: Any) -> None:
        for name in self._addresses:
            _delete(self.namespace(name))

    def _make(self) -> None:
        for name in self._addresses:
            _ip("netns", "add", self.namespace(name))
            _ip("-n", self.namespace(name), "link", "set", "lo", "up")
        edge = self.namespace("edge")
        _ip("-n", edge, "link", "add", "inside", "type", "bridge")
        _ip("-n", edge, "address", "add", f"{self.inner_address}/24", "dev", "inside")
        _ip("-n", edge, "link", "set", "inside", "up")
        for host in self._hosts:
            self._plug_in(host, host)
            _ip("-n", edge, "link", "set", host, "master", "inside")
        self._plug_in("outside", "outside")
        _ip("-n", edge, "address", "add", f"{self.address('edge')}/24", "dev", "outside")

    def _plug_in(self, host: str, link: str) -> None:
        edge, there = self.namespace("edge"), self.namespace(host)
        _ip("-n", edge, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", there)
        _ip("-n", edge, "link", "set", link, "up")
        _ip("-n", there, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
        _ip("-n", there, "link", "set", "eth0", "up")

    @staticmethod
    def namespace(host: str) -> str:
        """Its name; no other test's."""
        return f"{_PREFIX}-{os.getpid()}-{host}"

    def address(self, host: str) -> str:
        """Where others reach it; the edge: from outside."""
        return self._addresses[host]

    def inside(self, host: str) -> tuple[str, ...]:
        """What to put in front of a command line for it to run there."""
        return ("ip", "netns", "exec", self.namespace(host))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def _delete(namespace: str) -> None:
    with contextlib.suppress(subprocess.CalledProcessError):
        _ip("netns", "del", namespace)


def _remove_those_of_the_dead() -> None:
    """What a test has left that was killed."""
    for path in _FOLDER.glob(f"{_PREFIX}-*"):
        pid = path.name.removeprefix(f"{_PREFIX}-").partition("-")[0]
        if not Path(f"/proc/{pid}").exists():
            _delete(path.name)
