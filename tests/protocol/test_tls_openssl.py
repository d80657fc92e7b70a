"""What Python's ssl cannot ask for, and ``openssl s_client`` can: new keys on a connection that goes on."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator

import pytest

from addax import testing
from addax.core.settings import TlsSettings
from addax.net.tls_layer import TlsPort
from addax.net.tls_material import load
from tests.certificates import Authority
from tests.tls_client import ALERT, APPLICATION_DATA, TlsClient, make_port, split_records

from .apps import hello

pytestmark = pytest.mark.network

PATIENCE_S = 30


class Tool:
    """``openssl s_client``, and the socket that it has connected to us."""

    def __init__(self, process: subprocess.Popen[bytes], sock: socket.socket) -> None:
        self._process = process
        self._sock = sock
        self._sent_count = 0

    def say(self, text: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()

    async def carry(self, client: TlsClient) -> list[int]:
        """The next piece that it sends, and our answer: kinds of records. Empty if it has ended."""
        try:
            data = self._sock.recv(65536)
        except ConnectionResetError:
            data = b""
        if data:
            await client.fake.send(data)
            answer = bytes(client.fake.host.written[self._sent_count :])
            self._sent_count += len(answer)
            with contextlib.suppress(OSError):
                self._sock.sendall(answer)
        return [record[0] for record in split_records(data)] if data else []


@contextlib.contextmanager
def connected(version: str) -> Iterator[Tool]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_S)
        place = f"127.0.0.1:{listening.getsockname()[1]}"
        command = ["openssl", "s_client", "-connect", place, version, "-servername", "a.example"]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, bufsize=0
        )
        try:
            sock, _ = listening.accept()
            with sock:
                sock.settimeout(PATIENCE_S)
                yield Tool(process, sock)
        finally:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


@pytest.fixture
def settings(authority: Authority) -> TlsSettings:
    files = authority.server("a.example")
    return TlsSettings(str(files.certfile), str(files.keyfile))


async def shake_hands(tool: Tool, port: TlsPort, client: TlsClient) -> None:
    while port._handshakes:
        assert await tool.carry(client)


def test_renegotiation_is_refused(settings: TlsSettings) -> None:
    async def scenario() -> None:
        port = make_port(hello, load(settings))
        client = TlsClient(port)
        with connected("-tls1_2") as tool:
            await shake_hands(tool, port, client)
            before = len(client.fake.host.written)
            tool.say(b"R\n")
            assert await tool.carry(client)
            # An alert, no_renegotiation: what it does about that is its own affair.
            assert [record[0] for record in split_records(bytes(client.fake.host.written[before:]))] == [ALERT]

    testing.run(scenario())


def test_new_keys_are_answered_and_requests_go_on(settings: TlsSettings) -> None:
    async def scenario() -> None:
        port = make_port(hello, load(settings))
        client = TlsClient(port)
        with connected("-tls1_3") as tool:
            await shake_hands(tool, port, client)
            tool.say(b"K\n")
            assert await tool.carry(client) == [APPLICATION_DATA]
            before = len(client.fake.host.written)
            tool.say(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            while len(client.fake.host.written) < before + 100:
                assert await tool.carry(client)
            assert client.is_open

    testing.run(scenario())


def test_who_asks_for_new_keys_and_takes_nothing_is_cut_off(settings: TlsSettings) -> None:
    async def scenario() -> None:
        port = make_port(hello, load(settings))
        client = TlsClient(port)
        with connected("-tls1_3") as tool:
            await shake_hands(tool, port, client)
            client.layer.write_paused()
            before = len(client.fake.host.written)
            count = 0
            while client.is_open:
                assert count < 1000
                tool.say(b"K\n")
                records = await tool.carry(client)
                assert set(records) == {APPLICATION_DATA}
                count += len(records)
            assert client.fake.host.ending == "abort"
            assert count > 100
            assert len(client.fake.host.written) == before

    testing.run(scenario())
