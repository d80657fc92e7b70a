"""A page in a real browser: it connects, echoes, sees how each connection ends, and posts what it found."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import PATIENCE_S, Process

pytestmark = pytest.mark.network

PAGE = Path(__file__).with_name("websocket_page.html")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless",
    # A container has no rights for the browser's own sandbox; the only page that is opened is ours.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
)

APP = """
import json, os, sys
from urllib.parse import unquote_plus

def say(text):
    print("app:", text, file=sys.stderr, flush=True)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
    elif scope["type"] == "http":
        await {"/": page, "/results": results}[scope["path"]](scope, receive, send)
    else:
        await globals()[scope["path"][1:]](scope, receive, send)

async def page(scope, receive, send):
    with open(os.environ["PAGE"], "rb") as file:
        body = file.read()
    fields = [(b"content-type", b"text/html; charset=utf-8"), (b"set-cookie", b"seen=yes; SameSite=Strict")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})

async def results(scope, receive, send):
    body = b""
    more = True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})
    say("results " + json.dumps(json.loads(body)))

async def echo(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        key = "bytes" if message.get("text") is None else "text"
        await send({"type": "websocket.send", key: message[key]})
    say(f"{scope['path']} left with {message['code']} {ascii(message.get('reason'))}")

watched = echo

async def facts(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept", "subprotocol": "chat.v2"})
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    found = {"offered": scope["subprotocols"], "origin": headers["origin"], "cookie": headers.get("cookie")}
    await send({"type": "websocket.send", "text": json.dumps(found)})
    await send({"type": "websocket.close"})

async def close(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    code, _, reason = unquote_plus(scope["query_string"].decode()).partition(" ")
    await send({"type": "websocket.close", "code": int(code), "reason": reason})

async def fail(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    raise RuntimeError("on purpose")

async def refuse(scope, receive, send):
    await receive()
    await send({"type": "websocket.close"})

async def deny(scope, receive, send):
    await receive()
    await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b"members only"})
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Process]]:
    """The server of the page, and one that pages from elsewhere may not use."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "app.py").write_text(APP)
    with contextlib.ExitStack() as stack:
        started = []
        for options in ([], ["--ws-allowed-origin", "https://example.org"]):
            process = Process(folder, "--port", "0", *options, env={"PAGE": str(PAGE)})
            stack.callback(process.close)
            started.append(process)
        yield started[0], started[1]


@pytest.fixture(scope="module")
def results(servers: tuple[Process, Process], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the page found; the browser is gone."""
    if BROWSER is None:
        pytest.skip("there is no chromium, chromium-browser or google-chrome here")
    server, elsewhere = ("{}:{}".format(*process.address) for process in servers)
    profile = tmp_path_factory.mktemp("profile")
    browser = subprocess.Popen(
        [BROWSER, *FLAGS, f"--user-data-dir={profile}", f"http://{server}/?elsewhere={elsewhere}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "HOME": str(profile)},
    )
    try:
        line = servers[0].wait_for("app: results ")
    finally:
        # The browser and its helpers are a process group of their own.
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait(PATIENCE_S)
    found: dict[str, Any] = json.loads(line.partition("app: results ")[2])
    return found


def end(code: int, reason: str = "", was_clean: bool = True) -> dict[str, Any]:
    return {"code": code, "reason": reason, "wasClean": was_clean}


REFUSED = {"first": "closed", "end": end(1006, was_clean=False)}


def test_handshake(results: dict[str, Any], servers: tuple[Process, Process]) -> None:
    found = results["handshake"]
    host, port = servers[0].address
    assert found["protocol"] == "chat.v2"
    assert found["extensions"].startswith("permessage-deflate")
    assert found["facts"] == {
        "offered": ["chat.v3", "chat.v2"],
        "origin": f"http://{host}:{port}",
        "cookie": "seen=yes",
    }
    assert found["end"] == end(1000)


def test_text(results: dict[str, Any]) -> None:
    assert results["text"] == {"right": [True] * 5, "end": end(1000, "enough")}


def test_binary(results: dict[str, Any]) -> None:
    assert results["binary"] == {"size": 2**20, "differing": 0, "empty": 0, "blob": "a blob", "end": end(1005)}


def test_many_messages(results: dict[str, Any], servers: tuple[Process, Process]) -> None:
    assert results["many"] == {"right": 1000, "end": end(4002, "bye ☃")}
    servers[0].wait_for(f"/echo left with 4002 {'bye ☃'!a}")


def test_server_closes(results: dict[str, Any]) -> None:
    assert results["closed_normally"] == end(1000, "all said")
    assert results["closed_by_the_application"] == end(4001, "not you")
    assert results["closed_without_a_reason"] == end(1000)


def test_application_fails(results: dict[str, Any], servers: tuple[Process, Process]) -> None:
    assert results["failed"]["code"] == 1011
    assert "on purpose" not in results["failed"]["reason"]
    servers[0].wait_for("RuntimeError: on purpose")


def test_refused_handshake(results: dict[str, Any], servers: tuple[Process, Process]) -> None:
    assert results["refused"] == REFUSED
    assert results["denied"] == REFUSED
    servers[0].wait_for('"WebSocket /refuse" 403')
    servers[0].wait_for('"WebSocket /deny" 401')


def test_page_from_elsewhere(results: dict[str, Any], servers: tuple[Process, Process]) -> None:
    assert results["from_elsewhere"] == REFUSED
    servers[1].wait_for("pages of this origin may not connect (403)")


def test_browser_that_is_gone(results: dict[str, Any], servers: tuple[Process, Process]) -> None:
    assert results["left_open"] == "still here"
    servers[0].wait_for("/watched left with 1006")
