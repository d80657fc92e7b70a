"""nginx and HAProxy, with the files of ``deploy/``, in front of workers: the client, keep-alive, WebSocket, deploys.

``ADDAX_TEST_REQUESTS=20000`` makes the deploys below last until so many requests were answered.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from harness import PATIENCE_S, drain_socket
from load_generator import LoadGenerator
from proxies import HAProxy, HAProxyTcp, Nginx, NginxStream, Proxy, find_program, free_port
from raw_websocket import RawWebSocket
from supervised import Supervised, supervised
from tests.proxy_headers import v1, v2, v2_block

pytestmark = pytest.mark.network

REQUESTS_COUNT = int(os.environ.get("ADDAX_TEST_REQUESTS", "400"))
#: No proxy's, and not trusted.
CLIENT = "127.0.0.7"
#: Fields of a client that says to be somebody else.
LIES = {
    "X-Forwarded-For": "198.51.100.66",
    "X-Forwarded-Proto": "ftp",
    "X-Forwarded-Host": "lie.test",
    "X-Forwarded-Port": "666",
    "X-Forwarded-Prefix": "/lie",
    "Forwarded": "for=198.51.100.66;proto=ftp;host=lie.test",
}
#: addax believes whatever it may, and trusts the address that the proxy has here, or what comes by a Unix socket.
TRUSTING = (
    *("--forwarded-allow-ips", "127.0.0.1,unix:"),
    *(word for field in ("host", "port", "prefix", "forwarded") for word in ("--forwarded-field", field)),
)
#: As in the documentation, in a shorter time: the proxy closes before addax does.
QUICK = ("--timeout-keep-alive", "4", "--timeout-graceful-shutdown", "8")
REQUESTS_ON_KEPT_COUNT = 60


@dataclass(frozen=True)
class Setting:
    """One way to be behind a proxy."""

    kind: type[Proxy]
    is_unix: bool = False
    arguments: tuple[str, ...] = ()


SETTINGS = {
    "nginx to TCP": Setting(Nginx),
    "nginx to a Unix socket": Setting(Nginx, is_unix=True),
    "HAProxy to TCP": Setting(HAProxy),
    "HAProxy to a Unix socket": Setting(HAProxy, is_unix=True),
    "HAProxy with the PROXY protocol": Setting(HAProxyTcp, arguments=("--proxy-protocol",)),
    "nginx with the PROXY protocol": Setting(NginxStream, arguments=("--proxy-protocol",)),
}


def upstream(setting: Setting, port: int, path: str) -> dict[str, str]:
    """What is written into the proxy's file for the place where addax listens, and for shorter times.

    No request is repeated and no connection tried twice: what these tests show needs none of it.
    """
    if setting.kind is NginxStream:
        return {
            "proxy_next_upstream on;": "proxy_next_upstream off;",
            "server 127.0.0.1:8000;": f"server 127.0.0.1:{port};",
        }
    if setting.kind is Nginx:
        changes = {
            "keepalive_timeout 20s;": "keepalive_timeout 1s;",
            "proxy_next_upstream error timeout;": "proxy_next_upstream off;",
        }
        if setting.is_unix:
            return {**changes, "/run/addax/http.sock": path}
        return {
            **changes,
            "        server unix:/run/addax/http.sock;\n": "",
            "#server 127.0.0.1:8000;": f"server 127.0.0.1:{port};",
        }
    changes = {"retries 3": "retries 0", "check inter 2s": "check inter 200ms"}
    if setting.kind is HAProxyTcp:
        return {**changes, "server app1 127.0.0.1:8000": f"server app1 127.0.0.1:{port}"}
    changes["pool-purge-delay 2s"] = "pool-purge-delay 300ms"
    if setting.is_unix:
        return {**changes, "unix@/run/addax/http.sock": f"unix@{path}"}
    return {
        **changes,
        "    server app1 unix@/run/addax/http.sock\n": "",
        "#server app1 127.0.0.1:8000": f"server app1 127.0.0.1:{port}",
    }


def with_tls(setting: Setting, folder: Path, port: int) -> dict[str, str]:
    """The lines that are comments in the files, with a certificate that vouches for itself."""
    line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=shop.example"
    program = find_program("openssl")
    assert program is not None
    pem, key = folder / "edge.pem", folder / "key.pem"
    subprocess.run([program, *line.split(), "-keyout", key, "-out", pem], check=True, capture_output=True)
    pem.write_text(pem.read_text() + key.read_text())
    if setting.kind is Nginx:
        return {
            "#listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "#ssl_certificate /etc/ssl/example.com/fullchain.pem": f"ssl_certificate {pem}",
            "#ssl_certificate_key /etc/ssl/example.com/privkey.pem": f"ssl_certificate_key {pem}",
        }
    return {"#bind :443 ssl crt /etc/haproxy/certs/": f"bind 127.0.0.1:{port} ssl crt {pem}"}


@dataclass(frozen=True)
class Site:
    """A proxy with addax behind it."""

    proxy: Proxy
    server: Supervised
    setting: Setting
    #: 0: it does not speak TLS.
    tls_port: int

    @contextlib.contextmanager
    def client(self) -> Iterator[http.client.HTTPConnection]:
        """A client with an address of its own."""
        client = http.client.HTTPConnection(*self.proxy.address, timeout=PATIENCE_S, source_address=(CLIENT, 0))
        with contextlib.closing(client):
            yield client


@pytest.fixture(scope="module", params=SETTINGS)
def behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Each way, once for all tests."""
    setting = SETTINGS[request.param]
    reason = setting.kind.why_missing()
    if reason is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("site")
    path = str(folder / "http.sock")
    tls_port = free_port() if not setting.kind.hands_on_bytes and find_program("openssl") else 0
    where = ("--bind", f"unix:{path}") if setting.is_unix else ()
    with supervised(folder, *where, *QUICK, *TRUSTING, *setting.arguments) as server:
        server.wait_for_workers(2)
        changes = upstream(setting, 0 if setting.is_unix else server.address[1], path)
        if tls_port:
            changes.update(with_tls(setting, folder, tls_port))
        with setting.kind(folder, changes) as proxy:
            yield Site(proxy, server, setting, tls_port)


def get_json(client: http.client.HTTPConnection, target: str, fields: Mapping[str, str] = {}) -> Any:
    """Ask for JSON."""
    client.request("GET", target, headers={"Host": "shop.example", **fields})
    response = client.getresponse()
    body = response.read()
    assert response.status == 200, (response.status, body)
    return json.loads(body)


def assert_is_the_client(site: Site, found: Mapping[str, Any], scheme: str) -> None:
    host, port = found["client"]
    assert host == CLIENT
    # A field says no port; the PROXY protocol does.
    assert (port > 0) == site.setting.kind.hands_on_bytes
    assert found["scheme"] == scheme
    assert found["root_path"] == ""
    assert [value for name, value in found["headers"] if name == "host"] == ["shop.example"]


def test_client_is_the_one_who_has_connected_and_lies_end_at_the_edge(behind: Site) -> None:
    with behind.client() as client:
        for fields in ({}, LIES, {"X-Forwarded-For": "127.0.0.1"}):
            found = get_json(client, "/scope", fields)
            assert_is_the_client(behind, found, "http")
            if not behind.setting.kind.hands_on_bytes:
                assert not {"lie.test", "/lie", "ftp"} & {value for _name, value in found["headers"]}
                assert "198.51.100.66" not in str(found)


@pytest.mark.parametrize(
    "behind", [name for name in SETTINGS if SETTINGS[name].kind.hands_on_bytes], indirect=True, scope="module"
)
def test_header_of_a_client_is_none(behind: Site) -> None:
    lie = ("198.51.100.66", 666)
    for header in (v1(lie, lie), v2(v2_block(lie, lie))):
        with socket.create_connection(behind.proxy.address, PATIENCE_S, source_address=(CLIENT, 0)) as client:
            client.sendall(header + b"GET /scope HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
            # The proxy's own comes before it: what follows is to be a request, and is none.
            assert drain_socket(client).startswith(b"HTTP/1.1 400 ")


def test_connections_to_addax_are_used_again(behind: Site) -> None:
    seen: set[str] = set()
    with behind.client() as client:
        for number in range(REQUESTS_ON_KEPT_COUNT):
            if number % 10 == 0 and not behind.setting.kind.hands_on_bytes:
                # Of other clients as well, where the proxy knows what a request is.
                client.close()
            seen |= set(get_json(client, "/sockets"))
    # With each the workers' other sockets, a few.
    print(f"{len(seen)} sockets for {REQUESTS_ON_KEPT_COUNT} requests")
    assert len(seen) < REQUESTS_ON_KEPT_COUNT / 2


def test_websocket_passes_and_knows_its_client(behind: Site) -> None:
    fields = [f"{name}: {value}".encode() for name, value in LIES.items()]
    with RawWebSocket(behind.proxy.address, fields=fields, source=CLIENT) as client:
        assert client.status == 101
        assert client.say("one") == "one"
        found = json.loads(client.say("scope"))
        assert found["client"][0] == CLIENT
        assert found["scheme"] == "ws"
        assert client.say("x" * 70_000) == "x" * 70_000
        assert client.close().code == 1000


def test_other_upgrades_are_not_passed_on(behind: Site) -> None:
    fields = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": ""}
    with behind.client() as client:
        found = get_json(client, "/scope", fields)
        if behind.setting.kind is Nginx:
            assert "upgrade" not in dict(found["headers"])
        assert get_json(client, "/scope")


def test_deploys_under_load_fail_no_request_through_the_proxy(behind: Site) -> None:
    server = behind.server
    done_count = server.count_lines("Restart complete")
    with LoadGenerator(behind.proxy.address, is_process=True) as load:
        load.wait_for_count(50)
        is_first = True
        while is_first or load.total < REQUESTS_COUNT:
            is_first = False
            done_count += 1
            server.app.write(f"deploy {done_count}")
            server.send_signal(signal.SIGHUP)
            server.wait_for("Restart complete", done_count)
            load.wait_for_more(50)
        result = load.stop()
    print(f"{done_count} restarts, {result.summary()}")
    assert result.failed_count == 0, f"{result.summary()}\n{behind.proxy.describe()}"
    assert result.total >= REQUESTS_COUNT
    with behind.client() as client:
        client.request("GET", "/version")
        assert client.getresponse().read() == f"deploy {done_count}".encode()
    if behind.proxy.program == "nginx":
        assert behind.proxy.log_lines() == []


@pytest.mark.parametrize(
    "behind", [name for name in SETTINGS if not SETTINGS[name].kind.hands_on_bytes], indirect=True, scope="module"
)
def test_tls_ends_at_the_edge(behind: Site) -> None:
    if behind.tls_port == 0:
        pytest.skip("openssl, which makes the certificate, is not installed")
    # It vouches for itself; who it is was not to be shown here.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = (CLIENT, 0)
    client = http.client.HTTPSConnection("127.0.0.1", behind.tls_port, source_address=address, context=context)
    with contextlib.closing(client):
        for fields in ({}, LIES):
            assert_is_the_client(behind, get_json(client, "/scope", fields), "https")
