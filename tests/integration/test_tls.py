"""TLS as clients see it that are not ours: curl, OpenSSL's own, httpx, the standard library, websockets."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from harness import PATIENCE_S, drain_socket
from processes import open_fds, until
from supervised import Supervised
from tests.certificates import Authority, Files

pytestmark = pytest.mark.network

NAMES = ("localhost", "127.0.0.1")


@pytest.fixture(scope="module")
def files(authority: Authority) -> Files:
    """The server's certificate."""
    return authority.server(*NAMES)


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    authority: Authority,
    other_authority: Authority,
    files: Files,
) -> Iterator[Supervised]:
    """One process, for all tests that change nothing; also for two hosts of other names."""
    folder = tmp_path_factory.mktemp("app")
    extra = [authority.server("one.test", "*.two.test", key="rsa").combined, authority.server("three.test").combined]
    options = ["--loop", request.param, *tls(files), *(f"--ssl-extra-cert={path}" for path in extra)]
    clients = ["--ssl-ca-certs", str(authority.file), "--ssl-cert-reqs", "1"]
    with Supervised(folder, *options, *clients, workers=None, tls=authority.client_context()) as process:
        process.wait_for("Addax running on https://127.0.0.1:")
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
        assert not [line for line in process.lines if "Traceback" in line or "ERROR" in line]


def tls(files: Files) -> list[str]:
    return ["--ssl-certfile", str(files.certfile), "--ssl-keyfile", str(files.keyfile)]


def url(server: Supervised, path: str = "/", host: str = "localhost") -> str:
    return f"https://{host}:{server.address[1]}{path}"


def run(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    options.setdefault("stdin", subprocess.DEVNULL if "input" not in options else None)
    return subprocess.run(args, capture_output=True, text=True, timeout=PATIENCE_S, check=False, **options)


# ---- curl


def curl(authority: Authority, *args: str) -> str:
    ran = run("curl", "--silent", "--show-error", "--noproxy", "*", "--cacert", str(authority.file), *args)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_uploads_and_uses_a_connection_again(
    server: Supervised, authority: Authority, tmp_path: Path, version: str
) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(bytes(range(256)) * 12 * 1024)
    body, number = tmp_path / "body", ("--write-out", "%{http_version} %{num_connects} %{ssl_verify_result}\n")
    only = (f"--tlsv{version}", "--tls-max", version)
    sent = ("--data-binary", f"@{upload}", url(server, "/?n=1"), "--output", str(body))
    told = curl(authority, *only, *number, *sent, *only, url(server, "/tls"), "--output", str(tmp_path / "tls"))
    assert told.split("\n") == ["1.1 1 0", "1.1 0 0", ""]
    assert body.read_bytes() == b"1 " + upload.read_bytes()
    scheme, facts = json.loads((tmp_path / "tls").read_text() or "0")
    assert scheme == "https"
    assert facts["tls_version"] == {"1.2": 0x0303, "1.3": 0x0304}[version]


def test_curl_refuses_a_host_that_the_certificate_is_not_for(server: Supervised, authority: Authority) -> None:
    resolve = ("--resolve", f"other.test:{server.address[1]}:127.0.0.1")
    ran = run("curl", "--silent", "--cacert", str(authority.file), *resolve, url(server, host="other.test"))
    assert ran.returncode == 60


# ---- OpenSSL

#: Old versions are not even offered by OpenSSL 3 otherwise.
OLD = ("-cipher", "ALL:@SECLEVEL=0")


def s_client(server: Supervised, authority: Authority, *args: str, request: str = "/pid") -> str:
    """Ask for something; what OpenSSL writes, both streams in one."""
    connect = ("-connect", f"127.0.0.1:{server.address[1]}", "-CAfile", str(authority.file), "-ign_eof")
    asked = f"GET {request} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    ran = run("openssl", "s_client", *connect, *args, input=asked)
    return ran.stdout + ran.stderr


@pytest.mark.parametrize("version", ["tls1", "tls1_1"])
def test_old_versions_are_refused(server: Supervised, authority: Authority, version: str) -> None:
    said = s_client(server, authority, f"-{version}", *OLD)
    # An alert has come: that is the server's refusal, and not that of the client.
    assert "alert protocol version" in said
    assert "HTTP/1.1" not in said


@pytest.mark.parametrize(("version", "name"), [("tls1_2", "TLSv1.2"), ("tls1_3", "TLSv1.3")])
def test_new_versions_are_taken_and_http_is_agreed_on(
    server: Supervised, authority: Authority, version: str, name: str
) -> None:
    said = s_client(server, authority, f"-{version}", "-alpn", "h2,http/1.1", "-verify_return_error")
    assert re.search(rf"New, {name}, Cipher is \S*(GCM|CHACHA20)", said)
    assert "ALPN protocol: http/1.1" in said
    assert "Verify return code: 0 (ok)" in said
    assert "HTTP/1.1 200 OK" in said


def test_weak_ciphers_are_refused(server: Supervised, authority: Authority) -> None:
    said = s_client(server, authority, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:AES128-SHA:@SECLEVEL=0")
    assert "alert handshake failure" in said


def test_end_is_said_with_close_notify(server: Supervised, authority: Authority) -> None:
    # A receiving end that comes without is "unexpected eof while reading", an error of OpenSSL 3.
    for version in ("-tls1_2", "-tls1_3"):
        said = s_client(server, authority, version)
        assert "HTTP/1.1 200 OK" in said
        assert "unexpected eof" not in said
        assert "closed" in said


def test_renegotiation_is_refused(server: Supervised, authority: Authority) -> None:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.address[1]}", "-tls1_2"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen([*command, "-CAfile", str(authority.file)], text=True, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said = ""
        while "Verify return code" not in said:
            said += process.stdout.readline()
        process.stdin.write("R\n")
        process.stdin.flush()
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said


@pytest.mark.parametrize(("version", "name"), [("tls1_2", "TLSv1.2"), ("tls1_3", "TLSv1.3")])
def test_session_is_resumed(server: Supervised, authority: Authority, tmp_path: Path, version: str, name: str) -> None:
    session = str(tmp_path / "session")
    first = s_client(server, authority, f"-{version}", "-sess_out", session)
    assert f"New, {name}" in first
    again = s_client(server, authority, f"-{version}", "-sess_in", session, request="/tls")
    assert f"Reused, {name}" in again
    assert '["https", {"server_cert": "-----BEGIN CERTIFICATE-----' in again


# ---- libraries


def test_httpx_uses_one_connection_for_many_requests(server: Supervised, authority: Authority) -> None:
    ports = set()
    with httpx.Client(verify=authority.client_context(), trust_env=False) as client:
        for number in range(20):
            content = b"x" * number * 1000
            response = client.post(url(server, f"/stream?n={number}&s=0.0001"), content=content)
            stream = response.extensions["network_stream"]
            ports.add(stream.get_extra_info("client_addr"))
            assert response.content == b"".join(b"%d part %d\n" % (number, part) for part in range(3)) + content
            assert response.http_version == "HTTP/1.1"
    assert len(ports) == 1


def test_http_client_takes_and_gives_much(server: Supervised) -> None:
    content = bytes(range(256)) * 8192
    with server.caller() as caller:
        for _ in range(3):
            assert caller.post("/?n=7", content) == b"7 " + content


def test_websockets_speak_over_tls(server: Supervised, authority: Authority) -> None:
    async def talk() -> None:
        address = url(server).replace("https", "wss")
        async with websockets.connect(address, ssl=authority.client_context(), proxy=None) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
            large = "x" * 300_000
            await client.send(large)
            assert await client.recv() == large
            waiter = await client.ping()
            await waiter
            await client.send("tls")
            scheme, facts = json.loads(await client.recv())
            assert (scheme, facts["tls_version"]) == ("wss", 0x0304)
        assert client.close_code == 1000

    asyncio.run(asyncio.wait_for(talk(), PATIENCE_S))


# ---- names


@pytest.mark.parametrize(
    ("asked", "subject"),
    [
        ("one.test", "one.test"),
        ("ONE.test", "one.test"),
        ("www.two.test", "one.test"),
        ("three.test", "three.test"),
        ("two.test", "localhost"),
        ("a.b.two.test", "localhost"),
        ("nobody.test", "localhost"),
        ("localhost", "localhost"),
        (None, "localhost"),
    ],
)
def test_each_host_has_its_certificate(
    server: Supervised, authority: Authority, asked: str | None, subject: str
) -> None:
    name = ("-noservername",) if asked is None else ("-servername", asked)
    said = s_client(server, authority, *name, "-verify_return_error")
    assert f"subject=CN = {subject}\n" in said
    assert "HTTP/1.1 200 OK" in said


def test_application_sees_the_certificate_of_the_host(server: Supervised, authority: Authority) -> None:
    for host in ("one.test", "www.two.test", "three.test"):
        verify, extensions = authority.client_context(), {"sni_hostname": host}
        with httpx.Client(verify=verify, trust_env=False) as client:
            # The library checks the name that it has asked for.
            response = client.get(url(server, "/tls", "127.0.0.1"), extensions=extensions)
        shown = response.json()[1]["server_cert"]
        owner = "three.test" if host == "three.test" else "one.test"
        made = {
            "three.test": authority.server("three.test"),
            "one.test": authority.server("one.test", "*.two.test", key="rsa"),
        }
        assert shown == made[owner].pem


# ---- certificates of clients


def test_client_certificate_may_be_left_out_or_shown(
    server: Supervised, authority: Authority, other_authority: Authority
) -> None:
    shown = authority.client("/O=Test, Inc./CN=client")
    with httpx.Client(verify=authority.client_context(), trust_env=False) as client:
        _, facts = client.get(url(server, "/tls")).json()
        assert (facts["client_cert_chain"], facts["client_cert_name"]) == ([], None)
    with httpx.Client(verify=authority.client_context(shown), trust_env=False) as client:
        _, facts = client.get(url(server, "/tls")).json()
        assert facts["client_cert_chain"][0] == shown.pem
        assert facts["client_cert_name"] == r"CN=client,O=Test\, Inc."
        assert facts["client_cert_error"] is None
    stranger = authority.client_context(other_authority.client())
    with httpx.Client(verify=stranger, trust_env=False) as client, pytest.raises(httpx.TransportError):
        client.get(url(server, "/tls"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_without_a_client_certificate_the_application_is_never_called(
    tmp_path: Path, authority: Authority, other_authority: Authority, files: Files, version: ssl.TLSVersion
) -> None:
    options = ["--ssl-ca-certs", str(authority.file), "--ssl-cert-reqs", "2"]
    with Supervised(tmp_path, *tls(files), *options, workers=None) as server:
        for shown in (None, other_authority.client()):
            context = authority.client_context(shown)
            context.maximum_version = version
            # In TLS 1.3 the client's side of the handshake is complete before it hears the answer.
            with httpx.Client(verify=context, trust_env=False) as client, pytest.raises(httpx.TransportError):
                client.get(url(server, "/stranger"))
        context = authority.client_context(authority.client("/CN=friend"))
        context.maximum_version = version
        with httpx.Client(verify=context, trust_env=False) as friend:
            for _ in range(2):
                assert friend.get(url(server, "/tls")).json()[1]["client_cert_name"] == "CN=friend"
            assert friend.get(url(server, "/seen")).text == "/tls /tls /seen"


# ---- handshakes that do not come to an end


def allow_many_descriptors(count: int) -> None:
    """The server's process gets the same bound."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 3 * count
    if soft != resource.RLIM_INFINITY and soft < needed:
        assert hard == resource.RLIM_INFINITY or hard >= needed, f"ulimit -Hn is {hard}, which is below {needed}"
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def half_a_hello(authority: Authority) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = authority.client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    return hello[: len(hello) // 2]


def sockets_count(server: Supervised) -> int:
    return sum(what.startswith("socket:") for what in open_fds(server.pid).values())


def stay_half_open(stack: ExitStack, server: Supervised, authority: Authority, count: int) -> list[socket.socket]:
    """Connect so often; every second one says half of what it should."""
    server.wait_for("Addax running on")
    before, half = sockets_count(server), half_a_hello(authority)
    clients = []
    for number in range(count):
        client = stack.enter_context(socket.create_connection(server.address, PATIENCE_S))
        if number % 2:
            client.sendall(half)
        clients.append(client)
    until(lambda: sockets_count(server) >= before + count, PATIENCE_S, server.describe)
    return clients


def test_half_open_handshakes_stop_nobody(tmp_path: Path, authority: Authority, files: Files) -> None:
    count = 1000
    allow_many_descriptors(count)
    options = ["--ssl-handshake-timeout", "60", "--timeout-graceful-shutdown", "0.1"]
    with (
        ExitStack() as stack,
        Supervised(tmp_path, *tls(files), *options, workers=None, tls=authority.client_context()) as server,
    ):
        clients = stay_half_open(stack, server, authority, count)
        ask_often(server, 200)
        assert sockets_count(server) >= count
        server.send_signal(signal.SIGTERM)
        # Those that had not begun are closed at once, the others when their time is over.
        assert server.wait() == -signal.SIGTERM
        assert [drain_socket(client) for client in clients] == [b""] * count


def ask_often(server: Supervised, count: int) -> None:
    for number in range(count // 10):
        with server.caller() as caller:
            for turn in range(10):
                assert caller.get(f"/?n={number}{turn}") == b"%d%d " % (number, turn)


def test_half_open_handshakes_end_in_time(tmp_path: Path, authority: Authority, files: Files) -> None:
    count = 1000
    allow_many_descriptors(count)
    options = ["--ssl-handshake-timeout", "1.5"]
    with (
        ExitStack() as stack,
        Supervised(tmp_path, *tls(files), *options, workers=None, tls=authority.client_context()) as server,
    ):
        server.wait_for("Addax running on")
        before, half = sockets_count(server), half_a_hello(authority)
        with server.caller() as caller:
            caller.get("/pid")
            clients = [stack.enter_context(socket.create_connection(server.address, PATIENCE_S)) for _ in range(count)]
            for client in clients[::2]:
                client.sendall(half)
            assert [drain_socket(client) for client in clients] == [b""] * count
            until(lambda: sockets_count(server) <= before + 1, PATIENCE_S, server.describe)
            # The handshake of this one is over, and so is its time.
            caller.get("/pid")


def test_oldest_handshake_gives_way(tmp_path: Path, authority: Authority, files: Files) -> None:
    options = ["--ssl-max-handshakes", "50", "--ssl-handshake-timeout", "60", "--timeout-graceful-shutdown", "0.1"]
    with (
        ExitStack() as stack,
        Supervised(tmp_path, *tls(files), *options, workers=None, tls=authority.client_context()) as server,
    ):
        clients = stay_half_open(stack, server, authority, 50)
        extra = [stack.enter_context(socket.create_connection(server.address, PATIENCE_S)) for _ in range(10)]
        assert [drain_socket(client) for client in clients[:10]] == [b""] * 10
        ask_often(server, 50)
        # The first of these connections has pushed one out, and left room for the others when it was ready.
        assert drain_socket(clients[10]) == b""
        for client in (*clients[11:], *extra):
            client.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.recv(1)
