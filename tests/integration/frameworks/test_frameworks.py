"""Every framework served to real clients: the same requests, the same answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest
from served import PATIENCE_S, Served

FRAMEWORKS = ("fastapi", "starlette", "django", "quart", "litestar")
STREAM = b"".join(b"piece %d\n" % number for number in range(5))
EVENTS = b"".join(b"id: %d\ndata: event %d\n\n" % (number, number) for number in range(3))
UPLOAD_BYTES = 20_000_000
PIECE_BYTES = 250_000
#: What a server may take more than before while a body of UPLOAD_BYTES passes through it.
FLAT_BYTES = 6_000_000

Serve = Callable[..., Served]


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    """Each of the frameworks."""
    name: str = request.param
    return name


@pytest.fixture
def server(serve: Serve, framework: str) -> Served:
    """The framework's application, with the default options."""
    return serve(f"{framework}_app:app")


@pytest.fixture
def client(server: Served) -> Iterator[httpx.Client]:
    """An HTTP client of the server."""
    with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client:
        yield client


def curl(*arguments: str) -> bytes:
    """What curl writes."""
    command = ["curl", "--silent", "--show-error", "--fail", "--max-time", str(int(PATIENCE_S)), *arguments]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- JSON


def test_json(client: httpx.Client, framework: str) -> None:
    answer = client.get("/json", params={"a": "1", "b": "ü"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["server"] == "addax"
    assert "date" in answer.headers
    assert answer.json() == {"framework": framework, "method": "GET", "query": "a=1&b=%C3%BC"}


def test_json_posted(client: httpx.Client) -> None:
    body = {"list": [1, 2.5, None], "text": "naïve ☃"}
    assert client.post("/json", json=body).json() == {"echo": body}


def test_head(client: httpx.Client) -> None:
    answer = client.head("/json")
    assert answer.status_code == 200
    assert answer.content == b""
    # The connection is still in step: a body after the head of a HEAD would be read as the next answer.
    assert client.get("/json").json()["method"] == "GET"


# ---- answers in pieces


def test_stream(client: httpx.Client) -> None:
    with client.stream("GET", "/stream") as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.read() == STREAM


def test_stream_over_http_1_0(server: Served) -> None:
    assert curl("--http1.0", f"{server.url}/stream") == STREAM


def test_server_sent_events(client: httpx.Client) -> None:
    with client.stream("GET", "/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert [line for line in answer.iter_lines() if line.startswith("data")] == [
            f"data: event {number}" for number in range(3)
        ]


def test_client_leaves_a_stream(client: httpx.Client, server: Served) -> None:
    with client.stream("GET", "/endless") as answer:
        assert next(answer.iter_lines()) == "tick"
    assert client.get("/endless/ended").json() == {"endless": "ended"}
    assert "ERROR" not in server.log


# ---- bodies


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_upload_passes_through_flat_memory(client: httpx.Client, server: Served) -> None:
    data = random.Random(2).randbytes(UPLOAD_BYTES)
    pieces = [data[start : start + PIECE_BYTES] for start in range(0, UPLOAD_BYTES, PIECE_BYTES)]
    # What the first request makes once and for all (imports, caches, threads) is not what is measured.
    assert client.post("/upload", content=pieces[0]).json()["size"] == PIECE_BYTES
    before = server.resident_bytes()
    server.reset_peak()
    answer = client.post("/upload", content=iter(pieces), headers={"content-length": str(UPLOAD_BYTES)})
    assert answer.json() == {"size": UPLOAD_BYTES, "sha256": hashlib.sha256(data).hexdigest()}
    assert server.peak_bytes() - before < FLAT_BYTES


def test_chunked_upload(client: httpx.Client) -> None:
    pieces = [b"a" * 10, b"b" * 100_000, b"c"]
    answer = client.post("/upload", content=iter(pieces))
    assert answer.request.headers["transfer-encoding"] == "chunked"
    assert answer.json() == {"size": 100_011, "sha256": hashlib.sha256(b"".join(pieces)).hexdigest()}


def test_file(client: httpx.Client, download: Path) -> None:
    answer = client.get("/file")
    assert answer.content == download.read_bytes()
    assert answer.headers["content-length"] == str(download.stat().st_size)


# ---- the rest of a framework's day


def test_background_task(client: httpx.Client) -> None:
    assert client.get("/background").json() == {"background": "to come"}
    assert client.get("/background/done").json() == {"background": "done"}


def test_lifespan_state(client: httpx.Client, framework: str) -> None:
    expected = "without a lifespan" if framework == "django" else "by the lifespan"
    assert client.get("/state").json() == {"started": expected}


def test_cookies(client: httpx.Client) -> None:
    answer = client.get("/cookies")
    assert answer.json() == {}
    assert len(answer.headers.get_list("set-cookie")) == 2
    assert client.get("/cookies").json() == {"first": "1", "second": "2"}


def test_redirect(client: httpx.Client) -> None:
    answer = client.get("/redirect", follow_redirects=True)
    assert [step.status_code for step in answer.history] == [302]
    assert answer.json()["query"] == "from=redirect"


# ---- other clients


def test_aiohttp(server: Served, framework: str, download: Path) -> None:
    content = download.read_bytes()

    async def main() -> None:
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        async with aiohttp.ClientSession(server.url, timeout=timeout) as session:
            async with session.get("/json", params={"a": "1"}) as answer:
                assert (await answer.json())["framework"] == framework
            async with session.post("/json", json={"x": 1}) as answer:
                assert await answer.json() == {"echo": {"x": 1}}
            async with session.get("/stream") as answer:
                assert await answer.read() == STREAM
            async with session.get("/events") as answer:
                assert await answer.read() == EVENTS
            async with session.post("/upload", data=bytes(100_000), expect100=True) as answer:
                assert (await answer.json())["size"] == 100_000
            async with session.get("/file") as answer:
                assert await answer.read() == content
            # Eight at once, on as many connections.
            answers = await asyncio.gather(*[session.get("/json", params={"n": str(n)}) for n in range(8)])
            assert [(await answer.json())["query"] for answer in answers] == [f"n={n}" for n in range(8)]

    asyncio.run(main())


def test_curl(server: Served, framework: str, download: Path) -> None:
    assert json.loads(curl(f"{server.url}/json?a=1"))["framework"] == framework
    assert curl(f"{server.url}/stream") == STREAM
    assert curl("--no-buffer", f"{server.url}/events") == EVENTS
    assert json.loads(curl("--location", f"{server.url}/redirect"))["query"] == "from=redirect"
    # curl waits for 100 (Continue) before a body of this size.
    expecting = curl("--header", "Expect: 100-continue", "--data-binary", f"@{download}", f"{server.url}/upload")
    assert json.loads(expecting) == {
        "size": download.stat().st_size,
        "sha256": hashlib.sha256(download.read_bytes()).hexdigest(),
    }
    assert curl(f"{server.url}/file") == download.read_bytes()
    head = curl("--head", f"{server.url}/json").decode("ascii")
    assert head.startswith("HTTP/1.1 200 OK\r\n")
