"""The application that ``supervised`` serves, and the folder where it is changed while it runs."""

from __future__ import annotations

import os
from pathlib import Path

#: What the workers serve. Each answer has the fields x-pid and x-version. The files "import" and "startup" beside it
#: say what happens there: "fail", "hang", "slow 1.5", "block 1.5" or "exit 7".
APP = """
import asyncio, collections, json, os, signal, sys, threading, time
from pathlib import Path
from urllib.parse import parse_qsl

VERSION = "@VERSION@"
HERE = Path(__file__).parent
PID = str(os.getpid()).encode()
held = []
#: The paths that were asked for last.
seen = collections.deque(maxlen=100)

def say(text):
    # One write, so that lines of several processes do not mix.
    os.write(2, f"app[{os.getpid()}]: {text}\\n".encode())

def behaviour(name):
    try:
        word, _, value = (HERE / name).read_text().strip().partition(" ")
    except FileNotFoundError:
        return "", 0.0
    return word, float(value or 0)

def spin(until):
    while time.monotonic() < until:
        pass

word, value = behaviour("import")
if word:
    say(f"import: {word}")
if word == "fail":
    raise RuntimeError("the import was told to fail")
if word == "hang":
    time.sleep(3600)
if word in ("slow", "block"):
    time.sleep(value)
if word == "exit":
    os._exit(int(value))

async def live(receive, send):
    await receive()
    word, value = behaviour("startup")
    if word:
        say(f"startup: {word}")
    if word == "fail":
        await send({"type": "lifespan.startup.failed", "message": "the startup was told to fail"})
        return
    if word == "hang":
        await asyncio.get_running_loop().create_future()
    if word == "slow":
        await asyncio.sleep(value)
    while behaviour("startup")[0] == "wait":
        await asyncio.sleep(0.02)
    if word == "block":
        time.sleep(value)
    if word == "exit":
        os._exit(int(value))
    await send({"type": "lifespan.startup.complete"})
    say(f"started {VERSION}")
    await receive()
    say("shutdown")
    await send({"type": "lifespan.shutdown.complete"})

def describe(scope):
    found = {name: scope[name] for name in ("client", "scheme", "server", "root_path")}
    found["headers"] = [[name.decode(), value.decode()] for name, value in scope["headers"]]
    return json.dumps(found)

def sockets():
    # Each accepted connection has an inode of its own, which is not used again.
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            pass
    return [link for link in links if link.startswith("socket:")]

async def talk(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            say(f"websocket closed: {message.get('code')}")
            return
        text = message.get("text")
        if text == "pid":
            text = str(os.getpid())
        elif text == "scope":
            text = describe(scope)
        elif text == "tls":
            text = json.dumps([scope["scheme"], scope["extensions"].get("tls")])
        await send({"type": "websocket.send", "text": text})

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await live(receive, send)
    if scope["type"] == "websocket":
        return await talk(scope, receive, send)
    seen.append(scope["path"])
    path, query = scope["path"], dict(parse_qsl(scope["query_string"].decode()))
    seconds, status = float(query.get("s", 0)), 200
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    number = query.get("n", "").encode()
    if path == "/sleep":
        await asyncio.sleep(seconds)
    elif path == "/block":
        time.sleep(seconds)
    elif path == "/crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif path == "/exit":
        os._exit(7)
    elif path == "/alloc":
        # Not zeros, which the system gives without giving memory.
        held.append(b"x" * (int(query["mb"]) << 20))
    elif path == "/threads":
        for _ in range(int(query.get("count", 2))):
            threading.Thread(target=spin, args=(time.monotonic() + seconds,), daemon=True).start()
    elif path == "/spin":
        spin(time.monotonic() + seconds)
    elif path == "/health":
        status = 503 if scope["extensions"]["addax.shutdown"].is_set() else 200
    elif path == "/fail":
        raise RuntimeError("the request was told to fail")
    headers = [(b"x-pid", str(os.getpid()).encode()), (b"x-version", VERSION.encode())]
    if path == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in range(3):
            await send({"type": "http.response.body", "body": b"%b part %d\\n" % (number, part), "more_body": True})
            await asyncio.sleep(seconds or 0.01)
        return await send({"type": "http.response.body", "body": body})
    if path == "/tls":
        answer = json.dumps([scope["scheme"], scope["extensions"].get("tls")]).encode()
    elif path == "/seen":
        answer = " ".join(seen).encode()
    elif path == "/pid":
        answer = str(os.getpid()).encode()
    elif path == "/version":
        answer = VERSION.encode()
    elif path == "/scope":
        answer = describe(scope).encode()
    elif path == "/sockets":
        answer = json.dumps(sockets()).encode()
    else:
        answer = (number + b" " if number else b"") + body
    headers.append((b"content-length", str(len(answer)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
"""


class AppFolder:
    """The folder with ``app.py``, and what its next start will be like.

    Args:
        path: an empty folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write("1")

    def write(self, version: str, *, has_syntax_error: bool = False) -> None:
        """Put another version in the place of the application."""
        self._put("app.py", APP.replace("@VERSION@", version) + ("\ndef broken(:\n" if has_syntax_error else ""))

    def set_import(self, behaviour: str = "") -> None:
        """What importing it does: "fail", "hang", "slow 1.5", "exit 7"; "": nothing of these."""
        self._put("import", behaviour)

    def set_startup(self, behaviour: str = "") -> None:
        """What its lifespan startup does: "fail", "hang", "slow 1.5", "block 1.5", "exit 7"; "": nothing of these.

        With "wait" it ends when this is called again.
        """
        self._put("startup", behaviour)

    def _put(self, name: str, text: str) -> None:
        # In one step: a worker may start at any time.
        draft = self.path / f".{name}.new"
        draft.write_text(text)
        os.replace(draft, self.path / name)
