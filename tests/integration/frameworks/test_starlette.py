"""What only one framework is asked for: ranges, sendfile, middlewares, large fields, connections used again."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from served import PATIENCE_S, Served

UPLOAD_BYTES = 20_000_000
FLAT_BYTES = 6_000_000
#: A client that could send nothing for so long is held back; the test does not depend on how long it is.
HELD_BACK_S = 0.5


@pytest.fixture
def server(serve: Callable[..., Served]) -> Served:
    """The Starlette application."""
    return serve("starlette_app:app", "--timeout-keep-alive", "30")


@pytest.fixture
def client(server: Served) -> Iterator[httpx.Client]:
    """An HTTP client of the server."""
    with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client:
        yield client


# ---- files


def test_whole_file_is_sent_by_the_server(client: httpx.Client, download: Path) -> None:
    answer = client.get("/file")
    assert answer.content == download.read_bytes()
    assert answer.headers["content-length"] == str(download.stat().st_size)
    messages = client.get("/messages", params={"path": "/file"}).json()
    assert messages == ["http.response.start", "http.response.pathsend"]


def test_head_of_a_file(client: httpx.Client, download: Path) -> None:
    answer = client.head("/file")
    assert answer.headers["content-length"] == str(download.stat().st_size)
    assert answer.content == b""
    assert client.get("/client").status_code == 200


def test_range_of_a_file(client: httpx.Client, download: Path) -> None:
    answer = client.get("/file", headers={"range": "bytes=1000-200999"})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes 1000-200999/{download.stat().st_size}"
    assert answer.content == download.read_bytes()[1000:201000]


def test_two_ranges_of_a_file(client: httpx.Client, download: Path) -> None:
    answer = client.get("/file", headers={"range": "bytes=0-9,2000000-2000009"})
    assert answer.status_code == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges")
    assert download.read_bytes()[2000000:2000010] in answer.content


def test_range_past_the_end_of_a_file(client: httpx.Client, download: Path) -> None:
    answer = client.get("/file", headers={"range": "bytes=99999999-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{download.stat().st_size}"


def test_file_that_has_not_changed(client: httpx.Client, download: Path) -> None:
    etag = client.get("/file").headers["etag"]
    answer = client.get("/file", headers={"range": "bytes=0-4", "if-range": etag})
    assert (answer.status_code, answer.content) == (206, download.read_bytes()[:5])


# ---- connections


def test_connection_is_used_again(client: httpx.Client) -> None:
    ports = {client.get("/client").json()["port"] for _ in range(5)}
    assert client.post("/json", json={}).json() == {"echo": {}}
    ports.add(client.get("/client").json()["port"])
    assert len(ports) == 1


def test_curl_uses_a_connection_again_after_every_kind_of_answer(server: Served) -> None:
    paths = ("/json", "/stream", "/file", "/redirect", "/no-such-path", "/client")
    urls = [argument for path in paths for argument in ("--output", "/dev/null", server.url + path)]
    command = ["curl", "--silent", "--write-out", "%{http_code} %{num_connects}\n", "--max-time", str(int(PATIENCE_S))]
    done = subprocess.run([*command, *urls], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["200 1", "200 0", "200 0", "302 0", "404 0", "200 0", ""]


def test_connection_closes_when_the_client_says_so(client: httpx.Client) -> None:
    first = client.get("/client", headers={"connection": "close"})
    assert first.headers["connection"] == "close"
    assert first.json()["port"] != client.get("/client").json()["port"]


def test_pipelined_requests_are_answered_in_order(server: Served) -> None:
    requests = [b"GET /json?n=%d HTTP/1.1\r\nHost: test\r\n\r\n" % number for number in range(20)]
    requests.append(b"GET /json?n=last HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as connection:
        connection.sendall(b"".join(requests))
        answers = read_to_the_end(connection)
    queries = [json.loads(body)["query"] for body in re.findall(rb"\{.*?\}", answers)]
    assert queries == [f"n={number}" for number in range(20)] + ["n=last"]


def read_to_the_end(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


# ---- fields and paths


def test_large_fields_in_both_directions(client: httpx.Client) -> None:
    value = "v" * 30_000
    answer = client.get("/large-fields", headers={"x-large": value})
    assert answer.text == "30000"
    assert answer.headers["x-large"] == value


def test_too_large_fields_are_refused(client: httpx.Client, server: Served) -> None:
    answer = client.get("/large-fields", headers={"x-large": "v" * 70_000})
    assert answer.status_code == 431
    assert answer.headers["connection"] == "close"
    assert client.get("/client").status_code == 200
    assert "ERROR" not in server.log


def test_path_is_decoded_and_kept_raw(client: httpx.Client) -> None:
    answer = client.get("/raw-path/%C3%BC%20a%2Fb?q=%20")
    assert answer.json() == {"path": "/raw-path/ü a/b", "raw_path": "/raw-path/%C3%BC%20a%2Fb"}


# ---- middlewares


def test_gzip(client: httpx.Client) -> None:
    with client.stream("GET", "/middle/text", headers={"accept-encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        body = b"".join(answer.iter_raw())
    assert gzip.decompress(body) == b"a line of text\n" * 1000


def test_gzip_of_a_stream(client: httpx.Client) -> None:
    answer = client.get("/middle/stream", headers={"accept-encoding": "gzip"})
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.content == b"".join(b"piece %d\n" % number for number in range(5))


def test_gzip_around_a_file(client: httpx.Client, download: Path) -> None:
    """Starlette's gzip middleware looks at body messages only, so a file goes through it only as those."""
    answer = client.get("/middle/file", headers={"accept-encoding": "identity"})
    assert answer.content == download.read_bytes()


def test_cors_preflight(client: httpx.Client) -> None:
    fields = {"origin": "https://example.org", "access-control-request-method": "PUT"}
    answer = client.options("/middle/json", headers=fields)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://example.org"
    assert "PUT" in answer.headers["access-control-allow-methods"]


def test_cors_answer(client: httpx.Client) -> None:
    answer = client.get("/middle/json", headers={"origin": "https://example.org"})
    assert answer.headers["access-control-allow-origin"] == "https://example.org"
    assert answer.headers["access-control-allow-credentials"] == "true"


def test_base_http_middleware(client: httpx.Client) -> None:
    assert client.get("/middle/json").headers["x-stamp"] == "GET"
    answer = client.get("/middle/stream", headers={"accept-encoding": "identity"})
    assert answer.headers["x-stamp"] == "GET"
    assert answer.text.endswith("piece 4\n")


def test_base_http_middleware_around_an_upload(client: httpx.Client) -> None:
    data = bytes(300_000)
    answer = client.post("/middle/upload", content=data)
    assert answer.json() == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_client_leaves_a_stream_behind_middlewares(client: httpx.Client, server: Served) -> None:
    with client.stream("GET", "/middle/endless", headers={"accept-encoding": "identity"}) as answer:
        assert next(answer.iter_lines()) == "tick"
    assert client.get("/endless/ended").json() == {"endless": "ended"}
    assert "ERROR" not in server.log


# ---- slow applications and clients


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_upload_that_the_application_does_not_take_holds_the_client_back(server: Served) -> None:
    head = b"POST /held-upload HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % UPLOAD_BYTES
    data = memoryview(bytes(UPLOAD_BYTES))
    with httpx.Client(base_url=server.url) as other:
        before = server.resident_bytes()
        server.reset_peak()
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as connection:
            connection.sendall(head)
            sent = send_while_it_goes(connection, data)
            assert sent < UPLOAD_BYTES
            assert server.peak_bytes() - before < FLAT_BYTES
            assert other.get("/release").text == "released"
            connection.sendall(data[sent:])
            answer = read_to_the_end(connection)
    assert hashlib.sha256(data).hexdigest().encode() in answer
    assert server.peak_bytes() - before < FLAT_BYTES


def send_while_it_goes(connection: socket.socket, data: memoryview) -> int:
    """Send until all is sent or nothing goes any more; return how many bytes went."""
    sent = 0
    while sent < len(data) and select.select([], [connection], [], HELD_BACK_S)[1]:
        sent += connection.send(data[sent : sent + 65536])
    return sent


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_endless_stream_to_a_client_that_does_not_read_is_held_back(server: Served) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.connect(("127.0.0.1", server.port))
        before = server.resident_bytes()
        server.reset_peak()
        connection.sendall(b"GET /flood HTTP/1.1\r\nHost: test\r\n\r\n")
        with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as other:
            # The server goes on serving, and says when the stream has not moved for a while.
            assert 0 < other.get("/flood/held").json()["bytes"] < 50_000_000
        assert server.peak_bytes() - before < FLAT_BYTES


# ---- faults of the application


def test_application_that_raises_is_500_and_the_server_goes_on(download: Path) -> None:
    with Served("starlette_app:app", environment={"DOWNLOAD": str(download)}) as server:
        with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client:
            assert client.get("/fail").status_code == 500
            assert client.get("/json").status_code == 200
        server.wait_for("RuntimeError: on purpose")
        assert server.log.count("Exception in ASGI application") == 1
