"""WSGI applications, with a framework and without one, served by ``--interface wsgi``."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from served import PATIENCE_S, Served

STREAM = "".join(f"piece {number}\n" for number in range(5))
UPLOAD_BYTES = 20_000_000
FLAT_BYTES = 6_000_000

Serve = Callable[..., Served]


@pytest.fixture(params=["wsgi_app:app", "flask_app:app"])
def server(request: pytest.FixtureRequest, serve: Serve) -> Served:
    """Each of the applications."""
    return serve(request.param, "--interface", "wsgi")


@pytest.fixture
def client(server: Served) -> Iterator[httpx.Client]:
    """An HTTP client of the server."""
    with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client:
        yield client


def test_stream(client: httpx.Client) -> None:
    answer = client.get("/stream")
    assert answer.text == STREAM
    assert answer.headers["transfer-encoding"] == "chunked"


def test_head(client: httpx.Client) -> None:
    assert client.head("/json").content == b""
    assert client.get("/stream").text == STREAM


def test_not_found(client: httpx.Client) -> None:
    assert client.get("/nothing").status_code == 404


def test_upload(client: httpx.Client) -> None:
    data = bytes(range(256)) * 1000
    expected = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert client.post("/upload", content=data).json() == expected
    assert client.post("/upload", content=iter([data[:7], data[7:]])).json() == expected


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_upload_passes_through_flat_memory(client: httpx.Client, server: Served) -> None:
    data = bytes(UPLOAD_BYTES)
    assert client.post("/upload", content=data[:1000]).json()["size"] == 1000
    before = server.resident_bytes()
    server.reset_peak()
    assert client.post("/upload", content=data).json()["size"] == UPLOAD_BYTES
    assert server.peak_bytes() - before < FLAT_BYTES


def test_requests_at_the_same_time(server: Served) -> None:
    with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client, ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _: client.get("/stream").text, range(24))
        assert set(answers) == {STREAM}


def test_environ(serve: Serve) -> None:
    server = serve("wsgi_app:app", "--interface", "wsgi")
    answer = httpx.get(f"{server.url}/json?a=%20b", headers={"x-mark": "1"}, timeout=PATIENCE_S)
    assert answer.json() == {
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": "a=%20b",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "HTTP_X_MARK": "1",
        "REMOTE_ADDR": "127.0.0.1",
    }


def test_two_cookies(serve: Serve) -> None:
    server = serve("wsgi_app:app", "--interface", "wsgi")
    answer = httpx.get(f"{server.url}/cookies", timeout=PATIENCE_S)
    assert answer.headers.get_list("set-cookie") == ["first=1", "second=2"]


def test_flask(serve: Serve, download: Path) -> None:
    server = serve("flask_app:app", "--interface", "wsgi")
    with httpx.Client(base_url=server.url, timeout=PATIENCE_S, follow_redirects=True) as client:
        assert client.post("/json", json={"a": [1]}).json() == {"echo": {"a": [1]}}
        assert client.get("/redirect").json() == {"framework": "flask", "method": "GET", "query": "from=redirect"}
        assert client.get("/file").content == download.read_bytes()
        part = client.get("/file", headers={"range": "bytes=5-9"})
        assert (part.status_code, part.content) == (206, download.read_bytes()[5:10])


def test_curl(server: Served) -> None:
    done = subprocess.run(
        ["curl", "--silent", "--fail", "--max-time", str(int(PATIENCE_S)), f"{server.url}/stream"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == STREAM
