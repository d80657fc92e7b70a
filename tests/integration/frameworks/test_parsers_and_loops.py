"""The basic requests once more, for every parser in every event loop."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import aiohttp
import httpx
import pytest
from served import PATIENCE_S, Served
from tests.parsers import USABLE_PARSERS

COMBINATIONS = list(product(USABLE_PARSERS, ("uvloop", "asyncio")))


@pytest.fixture(params=COMBINATIONS, ids="-".join)
def server(request: pytest.FixtureRequest, serve: Callable[..., Served]) -> Served:
    """The Starlette application, served by one parser in one loop."""
    parser, loop = request.param
    return serve("starlette_app:app", "--http", parser, "--loop", loop)


@pytest.fixture
def client(server: Served) -> Iterator[httpx.Client]:
    """An HTTP client of the server."""
    with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client:
        yield client


def test_json_and_head(client: httpx.Client) -> None:
    assert client.get("/json?a=%20").json() == {"framework": "starlette", "method": "GET", "query": "a=%20"}
    assert client.head("/json").content == b""
    assert client.post("/json", json=["ü"]).json() == {"echo": ["ü"]}
    assert client.get("/nothing").status_code == 404


def test_stream_and_events(client: httpx.Client) -> None:
    assert client.get("/stream").text.splitlines() == [f"piece {number}" for number in range(5)]
    assert client.get("/events").text.count("\n\n") == 3


def test_uploads(client: httpx.Client) -> None:
    data = bytes(range(256)) * 4000
    expected = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert client.post("/upload", content=data).json() == expected
    pieces = (data[start : start + 9999] for start in range(0, len(data), 9999))
    assert client.post("/upload", content=pieces).json() == expected


def test_file_and_range(client: httpx.Client, download: Path) -> None:
    assert client.get("/file").content == download.read_bytes()
    assert client.get("/file", headers={"range": "bytes=-7"}).content == download.read_bytes()[-7:]


def test_state_background_cookies(client: httpx.Client) -> None:
    assert client.get("/state").json() == {"started": "by the lifespan"}
    assert client.get("/background").json() == {"background": "to come"}
    assert client.get("/background/done").json() == {"background": "done"}
    client.get("/cookies")
    assert client.get("/cookies").json() == {"first": "1", "second": "2"}


def test_connection_is_used_again(client: httpx.Client) -> None:
    assert len({client.get("/client").json()["port"] for _ in range(5)}) == 1


def test_client_leaves_a_stream(client: httpx.Client) -> None:
    with client.stream("GET", "/endless") as answer:
        assert next(answer.iter_lines()) == "tick"
    assert client.get("/endless/ended").json() == {"endless": "ended"}


def test_many_clients_at_once(server: Served) -> None:
    async def main() -> None:
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        async with aiohttp.ClientSession(server.url, timeout=timeout) as session:

            async def ask(number: int) -> str:
                async with session.get("/json", params={"n": str(number)}) as answer:
                    query: str = (await answer.json())["query"]
                    return query

            assert await asyncio.gather(*map(ask, range(50))) == [f"n={number}" for number in range(50)]

    asyncio.run(main())
