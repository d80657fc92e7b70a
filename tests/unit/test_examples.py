"""The bundled example and the files of examples/, driven as a server would, without a socket."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from addax.examples import pages, showcase
from addax.examples.multipart import PART_HEAD_MAX_BYTES, FirstFile, MultipartError, boundary_of

EXAMPLES = Path(__file__).parents[2] / "examples"
HTML = [(b"accept", b"text/html,*/*;q=0.8")]


class Answer:
    """What an application sent for one request."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    async def send(self, message: dict[str, Any]) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return self.messages[0]["status"]

    def header(self, name: bytes) -> bytes | None:
        return dict(self.messages[0]["headers"]).get(name)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    def json(self) -> Any:
        return json.loads(self.body)


def make_scope(method: str, target: str, headers: list[tuple[bytes, bytes]], **more: Any) -> dict[str, Any]:
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"example.org"), *headers],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "extensions": {},
        "state": {},
    }
    return {**scope, **more}


async def call(
    app: Any,
    method: str,
    target: str,
    *,
    headers: list[tuple[bytes, bytes]] | None = None,
    chunks: tuple[bytes, ...] = (b"",),
    **scope: Any,
) -> Answer:
    """One request with a body in chunks; afterwards receive() waits, as it does while a client is there."""
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting[-1]["more_body"] = False

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    answer = Answer()
    await asyncio.wait_for(app(make_scope(method, target, headers or [], **scope), receive, answer.send), 10)
    return answer


def ask(method: str, target: str, **more: Any) -> Answer:
    return asyncio.run(call(showcase.app, method, target, **more))


def test_home_shows_the_scope_escaped() -> None:
    answer = ask("GET", "/?name=<script>", headers=[(b"x-evil", b"<img src=x>")])
    page = answer.body.decode()
    assert answer.status == 200
    assert answer.header(b"content-type") == b"text/html; charset=utf-8"
    assert answer.header(b"content-length") == str(len(answer.body)).encode()
    assert "&lt;img src=x&gt;" in page
    assert "<img" not in page
    assert "name=&lt;script&gt;" in page
    for link in ("json", "stream", "upload", "clock", "file"):
        assert f'href="{link}"' in page


def test_policy_names_the_hashes_of_what_is_inline() -> None:
    page = pages.layout({"root_path": ""}, "t", "").decode()
    style = page.split("<style>")[1].split("</style>")[0]
    policy = dict(pages.HTML_HEADERS)[b"content-security-policy"].decode()
    assert pages._source_hash("style") in policy
    assert pages._LAYOUT.split("<style>")[1].split("</style>")[0] == style, "a placeholder inside would change the hash"
    assert "$" not in page.split("<script>")[1]


def test_links_begin_with_an_escaped_root_path() -> None:
    answer = ask("GET", '/a"b/', root_path='/a"b')
    assert answer.status == 200
    assert b'<base href="/a&quot;b/">' in answer.body


@pytest.mark.parametrize("path", ["/", "/json", "/stream", "/upload", "/clock", "/file"])
def test_head_has_the_head_of_get_and_no_body(path: str) -> None:
    answer = ask("HEAD", path)
    assert answer.status == 200
    assert answer.body == b""
    assert answer.messages[-1]["more_body"] is False
    if path in ("/upload", "/file"):  # the same bytes for both methods
        assert answer.header(b"content-length") == ask("GET", path).header(b"content-length")


@pytest.mark.parametrize(("method", "path"), [("POST", "/"), ("DELETE", "/upload"), ("TRACE", "/json")])
def test_other_methods_are_refused_with_the_allowed_ones(method: str, path: str) -> None:
    answer = ask(method, path)
    assert answer.status == 405
    allowed = (answer.header(b"allow") or b"").decode().split(", ")
    assert allowed == ["HEAD", "OPTIONS", *showcase.ROUTES[path]]


def test_options_tells_the_methods() -> None:
    answer = ask("OPTIONS", "/upload")
    assert (answer.status, answer.header(b"allow")) == (204, b"HEAD, OPTIONS, GET, POST, PUT")


def test_unknown_path_is_a_page_for_browsers_and_json_for_programs() -> None:
    page = ask("GET", "/<b>", headers=HTML)
    assert page.status == 404
    assert b"There is nothing at /&lt;b&gt;" in page.body
    assert ask("GET", "/<b>").json() == {"error": "Not found", "detail": "There is nothing at /<b>"}


def test_json_describes_the_scope() -> None:
    scope = ask("GET", "/json?x=1", extensions={"addax.shutdown": object()}).json()["scope"]
    assert scope["query_string"] == "x=1"
    assert scope["client"] == ["127.0.0.1", 50000]
    assert scope["extensions"] == {"addax.shutdown": "<object>"}


def test_stream_counts() -> None:
    answer = ask("GET", "/stream?chunks=3&delay=0")
    assert answer.body == b"chunk 1 of 3\nchunk 2 of 3\nchunk 3 of 3\n"
    assert len(answer.messages) == 5
    assert answer.header(b"content-length") is None


@pytest.mark.parametrize(
    "query", ["chunks=0", "chunks=1001", "chunks=ten", "delay=-1", "delay=6", "delay=nan", "delay=inf"]
)
def test_stream_refuses_numbers_out_of_bounds(query: str) -> None:
    answer = ask("GET", f"/stream?{query}")
    assert answer.status == 400
    assert query.split("=")[0] in answer.json()["detail"]


def test_upload_of_a_plain_body() -> None:
    answer = ask("PUT", "/upload", chunks=(b"ab", b"", b"cd"))
    result = answer.json()
    assert result["bytes"] == 4
    assert result["sha256"] == hashlib.sha256(b"abcd").hexdigest()
    assert result["name"] is None


def form_body(content: bytes, boundary: bytes = b"XX") -> bytes:
    return (
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="file"; filename="a<b>.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--" + boundary + b"--\r\nepilogue"
    )


@pytest.mark.parametrize("content", [b"", b"x", b"\r\n--X\r\n\r\n--X", bytes(range(256)) * 50])
@pytest.mark.parametrize("size", [1, 7, 100000])
def test_upload_of_a_form_in_chunks_of_any_size(content: bytes, size: int) -> None:
    body = form_body(content)
    chunks = tuple(body[start : start + size] for start in range(0, len(body), size))
    answer = ask("POST", "/upload", chunks=chunks, headers=[(b"content-type", b"multipart/form-data; boundary=XX")])
    result = answer.json()
    assert (result["bytes"], result["name"]) == (len(content), "a<b>.bin")
    assert result["sha256"] == hashlib.sha256(content).hexdigest()


def test_upload_answers_a_browser_with_an_escaped_page() -> None:
    headers = [*HTML, (b"content-type", b'multipart/form-data; boundary="XX"')]
    answer = ask("POST", "/upload", chunks=(form_body(b"1"),), headers=headers)
    assert answer.status == 200
    assert b"a&lt;b&gt;.bin" in answer.body


@pytest.mark.parametrize(
    ("content_type", "body", "detail"),
    [
        (b"multipart/form-data", b"", "boundary"),
        (b"multipart/form-data; boundary=" + b"x" * 71, b"", "boundary"),
        (b"multipart/form-data; boundary=XX", b"", "no complete file"),
        (b"multipart/form-data; boundary=XX", form_body(b"1").partition(b"\r\n--XX--")[0], "no complete file"),
        (b"multipart/form-data; boundary=XX", b"--XX\r\n" + b"a" * (PART_HEAD_MAX_BYTES + 1), "header lines"),
    ],
)
def test_broken_forms_are_answered_400(content_type: bytes, body: bytes, detail: str) -> None:
    answer = ask("POST", "/upload", chunks=(body,), headers=[(b"content-type", content_type)])
    assert answer.status == 400
    assert detail in answer.json()["detail"]


def test_first_file_keeps_no_more_than_a_delimiter() -> None:
    form = FirstFile(b"XX")
    form.feed(form_body(b"").partition(b"\r\n--XX--")[0])
    for _ in range(20):
        assert len(form.feed(b"y" * 100000)) > 99000
        assert len(form._kept) < 10
    assert not form.is_complete


def test_boundary_of_quoted_and_plain_values() -> None:
    assert boundary_of("multipart/form-data; charset=utf-8; boundary=a-b_c") == b"a-b_c"
    assert boundary_of('multipart/form-data; Boundary="a b"; x=y') == b"a b"
    with pytest.raises(MultipartError):
        boundary_of("multipart/form-data; myboundary=a")


def test_upload_broken_off_by_the_client_is_not_answered() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    answer = Answer()
    asyncio.run(showcase.app(make_scope("PUT", "/upload", []), receive, answer.send))
    assert answer.messages == []


def test_file_is_sent_by_the_server_where_it_can() -> None:
    answer = ask("GET", "/file", extensions={"http.response.pathsend": {}})
    assert answer.messages[1] == {"type": "http.response.pathsend", "path": str(showcase.SOURCE)}


def test_file_is_read_where_the_server_cannot() -> None:
    answer = ask("GET", "/file")
    assert answer.body == showcase.SOURCE.read_bytes()
    assert answer.header(b"content-length") == str(len(answer.body)).encode()


class Notice:
    """What addax puts into ``scope["extensions"]["addax.shutdown"]``."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def is_set(self) -> bool:
        return self.event.is_set()

    async def wait(self) -> None:
        await self.event.wait()


def test_clock_says_goodbye_when_the_server_stops() -> None:
    async def main() -> Answer:
        notice = Notice()
        request = asyncio.ensure_future(
            call(showcase.app, "GET", "/clock?interval=60", extensions={"addax.shutdown": notice})
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        notice.event.set()
        return await request

    answer = asyncio.run(main())
    assert answer.header(b"content-type") == b"text/event-stream"
    assert answer.messages[1]["body"].startswith(b"event: tick\ndata: 20")
    assert answer.messages[-1] == {
        "type": "http.response.body",
        "body": b"event: bye\ndata: the server is stopping\n\n",
        "more_body": False,
    }


def test_clock_ends_silently_when_the_client_leaves() -> None:
    messages = [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return messages.pop(0)

    answer = Answer()
    scope = make_scope("GET", "/clock?interval=60", [])
    asyncio.run(asyncio.wait_for(showcase.app(scope, receive, answer.send), 10))
    assert answer.messages[-1]["body"].startswith(b"event: tick")


def test_clock_ticks_until_send_fails() -> None:
    class Leaving(Answer):
        async def send(self, message: dict[str, Any]) -> None:
            await super().send(message)
            if len(self.messages) == 4:
                raise OSError("gone")

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    answer = Leaving()
    with pytest.raises(OSError, match="gone"):
        asyncio.run(showcase.app(make_scope("GET", "/clock?interval=0.05", []), receive, answer.send))
    assert [message["body"][:11] for message in answer.messages[1:]] == [b"event: tick"] * 3


def run_lifespan(app: Any, scope: dict[str, Any]) -> list[str]:
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    answer = Answer()
    asyncio.run(app({"type": "lifespan", "asgi": {"version": "3.0"}, **scope}, receive, answer.send))
    return [message["type"] for message in answer.messages]


def test_lifespan_state_counts_requests() -> None:
    state: dict[str, Any] = {}
    assert run_lifespan(showcase.app, {"state": state}) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    ask("GET", "/json", state=dict(state))
    assert b"2 requests in " in ask("GET", "/", state=dict(state)).body


def connect(path: str, *incoming: dict[str, Any]) -> list[dict[str, Any]]:
    """What the showcase sends on a WebSocket that brings these messages after the first."""
    waiting = [{"type": "websocket.connect"}, *incoming]

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    answer = Answer()
    scope = {"type": "websocket", "path": path, "root_path": "/mounted"}
    asyncio.run(showcase.app(scope, receive, answer.send))
    return answer.messages


def test_websocket_echoes() -> None:
    text = {"type": "websocket.receive", "text": "", "bytes": None}
    binary = {"type": "websocket.receive", "bytes": b"\x00"}
    left = {"type": "websocket.disconnect", "code": 1001, "reason": ""}
    assert connect("/mounted/echo", text, binary, left) == [
        {"type": "websocket.accept"},
        {"type": "websocket.send", "text": ""},
        {"type": "websocket.send", "bytes": b"\x00"},
    ]


def test_websocket_elsewhere_is_declined_and_other_scopes_refused() -> None:
    assert connect("/mounted/json") == [{"type": "websocket.close", "code": 1000}]
    with pytest.raises(NotImplementedError, match="'else'"):
        asyncio.run(showcase.app({"type": "else"}, None, None))


def load(name: str) -> ModuleType:
    """Import a file of examples/ under its own name, as a server started in that folder does."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_every_example_is_in_its_readme() -> None:
    text = (EXAMPLES / "README.md").read_text("utf-8")
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names
    assert {name for name in names if f"({name})" in text and f"examples.{name[:-3]}:app" in text} == names


def test_raw_asgi_example_greets_and_echoes() -> None:
    module = load("raw_asgi")
    assert asyncio.run(call(module.app, "GET", "/")).body == b"Hello from plain ASGI\n"
    assert asyncio.run(call(module.app, "POST", "/", chunks=(b"a", b"b"))).body == b"ab"
    assert run_lifespan(module.app, {}) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_starlette_example_uses_state_and_background_tasks() -> None:
    module = load("starlette_app")
    state = {"greetings": ["hi"]}
    assert asyncio.run(call(module.app, "GET", "/", state=state)).json() == ["hi"]
    assert asyncio.run(call(module.app, "GET", "/visits", state=state)).json() == {"visits": 1}
    assert run_lifespan(module.app, {"state": {}}) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_fastapi_example_validates() -> None:
    module = load("fastapi_app")
    json_type = [(b"content-type", b"application/json")]
    assert asyncio.run(call(module.app, "POST", "/notes", headers=json_type, chunks=(b'{"text": ""}',))).status == 422
    assert asyncio.run(call(module.app, "POST", "/notes", headers=json_type, chunks=(b'{"text": "a"}',))).json() == {
        "id": 1
    }
    assert asyncio.run(call(module.app, "GET", "/notes/1")).json() == {"text": "a"}
    assert asyncio.run(call(module.app, "GET", "/notes/2")).status == 404


def test_django_example_answers() -> None:
    module = load("django_app")
    headers = [(b"host", b"127.0.0.1"), (b"user-agent", b"test")]
    scope = {"headers": headers}
    assert asyncio.run(call(module.app, "GET", "/", **scope)).json() == {"path": "/", "agent": "test"}


def test_wsgi_example_greets_and_echoes() -> None:
    from a2wsgi import WSGIMiddleware

    app = WSGIMiddleware(load("wsgi_app").app)
    assert b"Hello from WSGI at http://" in asyncio.run(call(app, "GET", "/")).body
    length = [(b"content-length", b"3")]
    assert asyncio.run(call(app, "POST", "/", headers=length, chunks=(b"abc",))).body == b"abc"
