"""A chat. Run: ``addax examples.chat.app:app`` from the root of the checkout, then look at http://127.0.0.1:8000/.

A page connects to ``/socket?room=…&name=…``; every message in either direction is an object in JSON:

=========== ============================================ ==========================================================
client      ``{"type": "say", "text": …}``
server      ``{"type": "welcome", "name", "history"}``   the first: who the client is now, and what was said before
            ``{"type": "joined", "name", "members"}``    somebody has come
            ``{"type": "left", "name", "members"}``      somebody has gone
            ``{"type": "said", "name", "text", "at"}``   somebody has said something
            ``{"type": "notice", "text"}``               from the server: it is stopping, or a message was no good
=========== ============================================ ==========================================================
"""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs

from examples.chat.rooms import Rooms

NAME_MAX_CHARS = 24
TEXT_MAX_CHARS = 2000

#: The codes from 4000 on are the application's own (RFC 6455 §7.4.2). A browser does not tell a page why a handshake
#: was refused, so what a person should read is said by a close frame after it.
BAD_NAME = 4000
TOO_SLOW = 4001

PAGE = Path(__file__).parent / "page"
FILES = {
    "/": ((PAGE / "index.html").read_bytes(), b"text/html; charset=utf-8"),
    "/chat.js": ((PAGE / "chat.js").read_bytes(), b"text/javascript; charset=utf-8"),
    "/chat.css": ((PAGE / "chat.css").read_bytes(), b"text/css; charset=utf-8"),
}
POLICY = b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'"

rooms = Rooms()


async def app(scope, receive, send):
    """The ASGI application."""
    if scope["type"] == "lifespan":
        await answer_lifespan(receive, send)
    elif scope["type"] == "http":
        await send_file(scope, send)
    elif scope["path"] == scope["root_path"] + "/socket":
        await chat(scope, receive, send)
    else:
        await receive()
        # Before it is accepted: the handshake is answered 403.
        await send({"type": "websocket.close"})


async def answer_lifespan(receive, send):
    """There is nothing to open or to close."""
    for event in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{event}.complete"})


async def send_file(scope, send):
    """The page and what belongs to it."""
    found = FILES.get(scope["path"].removeprefix(scope["root_path"]))
    body, content_type = found or (b"There is nothing here.\n", b"text/plain; charset=utf-8")
    headers = [
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode()),
        (b"content-security-policy", POLICY),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def chat(scope, receive, send):
    """One client in one room, from its handshake to its end."""
    await receive()
    query = parse_qs(scope["query_string"].decode("latin-1"))
    name = clean(query.get("name", [""])[0])
    room_name = clean(query.get("room", [""])[0]) or "lobby"
    await send({"type": "websocket.accept"})
    if not name:
        await send({"type": "websocket.close", "code": BAD_NAME, "reason": "a name is needed"})
        return
    room, member = rooms.enter(room_name, name)
    listening = asyncio.ensure_future(listen(room, member, receive))
    delivering = asyncio.ensure_future(deliver(member, send))
    falling_behind = asyncio.ensure_future(member.is_too_slow.wait())
    warning = asyncio.ensure_future(warn_of_the_end(scope, member))
    try:
        ended, _ = await asyncio.wait({listening, delivering, falling_behind}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        room.leave(member)
        tasks = (listening, delivering, falling_behind, warning)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()
    if ended == {falling_behind}:
        await send({"type": "websocket.close", "code": TOO_SLOW, "reason": "too far behind"})


def clean(name):
    """A name without what cannot be seen, and not longer than it should be."""
    shown = "".join(character if character.isprintable() else " " for character in name)
    return " ".join(shown.split())[:NAME_MAX_CHARS].strip()


async def listen(room, member, receive):
    """Take what the client says, until it leaves."""
    while (message := await receive())["type"] != "websocket.disconnect":
        try:
            text = json.loads(message.get("text") or "")["text"].strip()
        except (ValueError, TypeError, KeyError, AttributeError):
            member.tell({"type": "notice", "text": "That was not understood."})
            continue
        if len(text) > TEXT_MAX_CHARS:
            member.tell({"type": "notice", "text": f"That was too long: {TEXT_MAX_CHARS} characters is the most."})
        elif text:
            room.say(member, text)


async def deliver(member, send):
    """Send what the room has for the client. Where ``send`` has to wait for a slow one, events wait in the queue."""
    with suppress(OSError):  # the client has left
        while True:
            event = await member.events.get()
            await send({"type": "websocket.send", "text": json.dumps(event)})


async def warn_of_the_end(scope, member):
    """Say that the server is about to stop. It closes the WebSocket itself (1012), and the page connects again."""
    notice = (scope.get("extensions") or {}).get("addax.shutdown")
    if notice is not None:
        await notice.wait()
        member.tell({"type": "notice", "text": "The server is about to restart."})
