"""The chat of examples/, driven as a server would, without a socket."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import pytest

ROOT = Path(__file__).parents[2]
CHAT = ROOT / "examples" / "chat"
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The application's module, with no room open."""
    monkeypatch.syspath_prepend(str(ROOT))
    module = importlib.import_module("examples.chat.app")
    monkeypatch.setattr(module, "rooms", module.Rooms())
    return module


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 10))


class Notice:
    """``scope["extensions"]["addax.shutdown"]``."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    async def wait(self) -> None:
        await self.event.wait()


class Page:
    """A client, and the server between it and the application.

    Args:
        chat: the application's module.
        path: of the handshake.
        query: of the handshake.
        notice: that the server stops.
    """

    def __init__(self, chat: ModuleType, path: str = "/socket", notice: Notice | None = None, **query: str) -> None:
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        #: Cleared by a client that does not read.
        self.reads = asyncio.Event()
        self.reads.set()
        self._incoming.put_nowait({"type": "websocket.connect"})
        scope = {
            "type": "websocket",
            "path": path,
            "root_path": "",
            "query_string": urlencode(query).encode(),
            "extensions": {"addax.shutdown": notice} if notice else {},
        }
        self.task = asyncio.ensure_future(chat.app(scope, self._incoming.get, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        await self._sent.put(message)
        await self.reads.wait()

    async def take(self) -> dict[str, Any]:
        """The next message of the application."""
        return await self._sent.get()

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next event, which is of that kind."""
        message = await self.take()
        assert message["type"] == "websocket.send", message
        event: dict[str, Any] = json.loads(message["text"])
        assert event["type"] == kind, event
        return event

    def write(self, text: str | None) -> None:
        self._incoming.put_nowait({"type": "websocket.receive", "text": text, "bytes": None if text else b"x"})

    def say(self, text: str) -> None:
        self.write(json.dumps({"type": "say", "text": text}))

    async def leave(self) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1001, "reason": ""})
        await self.task


async def enter(chat: ModuleType, name: str, room: str = "hall", notice: Notice | None = None) -> Page:
    """A client that has heard of its own coming."""
    page = Page(chat, notice=notice, name=name, room=room)
    assert await page.take() == {"type": "websocket.accept"}
    await page.hear("welcome")
    await page.hear("joined")
    return page


def test_what_is_said_is_heard_in_the_room_only(chat: ModuleType) -> None:
    async def main() -> None:
        ana, cem, eve = await enter(chat, "ana"), await enter(chat, "cem"), await enter(chat, "eve", "elsewhere")
        assert (await ana.hear("joined"))["members"] == ["ana", "cem"]
        ana.say(" <b>hello</b> ")
        for page in (ana, cem):
            event = await page.hear("said")
            assert (event["name"], event["text"]) == ("ana", "<b>hello</b>")
        eve.say("alone")
        assert (await eve.hear("said"))["text"] == "alone"
        await cem.leave()
        assert await ana.hear("left") == {"type": "left", "name": "cem", "members": ["ana"]}
        await ana.leave()
        await eve.leave()

    run(main())


def test_taken_name_gets_a_number(chat: ModuleType) -> None:
    async def main() -> None:
        pages = [await enter(chat, "ana")]
        for expected in ("ana 2", "ana 3"):
            page = Page(chat, name="ana", room="hall")
            await page.take()
            assert (await page.hear("welcome"))["name"] == expected
            pages.append(page)
        for page in pages:
            await page.leave()

    run(main())


def test_history_is_told_and_bounded(chat: ModuleType) -> None:
    async def main() -> None:
        ana = await enter(chat, "ana")
        for number in range(60):
            ana.say(str(number))
            await ana.hear("said")
        await ana.leave()
        cem = Page(chat, name="cem", room="hall")
        await cem.take()
        history = (await cem.hear("welcome"))["history"]
        assert [event["text"] for event in history] == [str(number) for number in range(10, 60)]
        await cem.leave()

    run(main())


def test_rooms_that_nobody_is_in_are_forgotten_at_last(chat: ModuleType) -> None:
    rooms = chat.Rooms()
    room, member = rooms.enter("kept", "ana")
    for number in range(300):
        other, guest = rooms.enter(str(number), "guest")
        other.leave(guest)
    assert len(rooms._rooms) == 100
    assert rooms.enter("kept", "cem")[0] is room
    assert member.name in room.members


@pytest.mark.parametrize("text", [None, "", "no json", "[]", '{"type": "say"}', '{"text": 1}'])
def test_message_that_is_not_understood(chat: ModuleType, text: str | None) -> None:
    async def main() -> None:
        ana = await enter(chat, "ana")
        ana.write(text)
        assert "not understood" in (await ana.hear("notice"))["text"]
        await ana.leave()

    run(main())


def test_message_that_is_too_long_and_one_that_is_empty(chat: ModuleType) -> None:
    async def main() -> None:
        ana = await enter(chat, "ana")
        ana.say(" ")
        ana.say("x" * 2001)
        assert "too long" in (await ana.hear("notice"))["text"]
        ana.say("x" * 2000)
        assert len((await ana.hear("said"))["text"]) == 2000
        await ana.leave()

    run(main())


@pytest.mark.parametrize(
    ("name", "cleaned"), [(" a\tb  c\u202e ", "a b c"), ("x" * 30, "x" * 24), ("\x00", ""), ("ü☃", "ü☃")]
)
def test_names_are_cleaned(chat: ModuleType, name: str, cleaned: str) -> None:
    assert chat.clean(name) == cleaned


def test_client_without_a_name_is_told_so(chat: ModuleType) -> None:
    async def main() -> None:
        page = Page(chat, room="hall")
        assert await page.take() == {"type": "websocket.accept"}
        assert await page.take() == {"type": "websocket.close", "code": 4000, "reason": "a name is needed"}
        await page.task

    run(main())


def test_other_paths_are_refused(chat: ModuleType) -> None:
    async def main() -> None:
        page = Page(chat, "/elsewhere", name="ana")
        assert await page.take() == {"type": "websocket.close"}
        await page.task

    run(main())


def test_client_that_does_not_read_is_let_go(chat: ModuleType) -> None:
    async def main() -> None:
        slow, ana = await enter(chat, "slow"), await enter(chat, "ana")
        slow.reads.clear()
        for number in range(250):
            ana.say(str(number))
            # She is not held up by the other.
            while (event := json.loads((await ana.take())["text"]))["type"] != "said":
                assert event["name"] == "slow"
            assert event["text"] == str(number)
        slow.reads.set()
        await slow.task
        while (message := await slow.take())["type"] == "websocket.send":
            pass
        assert message == {"type": "websocket.close", "code": 4001, "reason": "too far behind"}
        await ana.leave()

    run(main())


def test_clients_are_told_that_the_server_stops(chat: ModuleType) -> None:
    async def main() -> None:
        notice = Notice()
        ana = await enter(chat, "ana", notice=notice)
        notice.event.set()
        assert "restart" in (await ana.hear("notice"))["text"]
        await ana.leave()

    run(main())


def test_page_needs_nothing_from_elsewhere(chat: ModuleType) -> None:
    async def get(path: str) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            messages.append(message)

        await chat.app({"type": "http", "method": "GET", "path": path, "root_path": ""}, None, send)
        return messages

    start, body = asyncio.run(get("/"))
    assert start["status"] == 200
    assert b"default-src 'none'" in dict(start["headers"])[b"content-security-policy"]
    links = re.findall(r'(?:src|href)="([^"]+)"', body["body"].decode())
    assert [link for link in links if link != "data:,"] == ["chat.css", "chat.js"]
    for link in ("/chat.css", "/chat.js"):
        start, body = asyncio.run(get(link))
        assert start["status"] == 200
        assert b"//" not in re.sub(rb"(?m)^\s*//.*$", b"", body["body"])
    assert asyncio.run(get("/app.py"))[0]["status"] == 404


def test_readme_tells_the_command() -> None:
    text = (ROOT / "examples" / "README.md").read_text("utf-8")
    assert "(chat/app.py)" in text
    assert "`addax examples.chat.app:app`" in text
    assert {path.name for path in (CHAT / "page").iterdir()} == {"index.html", "chat.js", "chat.css"}
