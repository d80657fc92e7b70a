"""http.response.early_hint, .trailers, .pathsend and .zerocopysend."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from addax import testing
from addax.core.errors import LocalProtocolError

from .apps import END, HELLO, START, Sends, body, start
from .conftest import GET, GET_10, HEAD, Connect, ErrorLog

HINT = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload; as=style", b"</b.js>; rel=preload"]}


def exchange(
    connect: Connect, app: Any, data: bytes = GET, *methods: str, sends_files: bool = False, **settings: Any
) -> testing.Response:
    """One request, one complete response, and a connection that can be used again if the response says so."""

    async def scenario() -> testing.Response:
        client = connect(app, sends_files=sends_files, **settings)
        await client.send(data)
        (response,) = await client.wait_for_responses(1, *methods)
        await testing.settle()
        assert response.is_last == (not client.is_open)
        await client.close()
        return response

    return testing.run(scenario())


# ---- early hints


def test_hint_comes_before_the_response(connect: Connect) -> None:
    response = exchange(connect, Sends(HINT, START, HELLO))
    (hint,) = response.interim
    assert hint.status == 103
    assert hint.headers == [(b"link", link) for link in HINT["links"]]
    assert response.body == b"hello"
    assert response.values(b"link") == []


def test_several_hints(connect: Connect) -> None:
    response = exchange(connect, Sends(HINT, HINT, START, HELLO))
    assert [hint.status for hint in response.interim] == [103, 103]


def test_hint_is_sent_at_once(connect: Connect) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(HINT)
        await receive()
        await receive()

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        (hint,) = client.responses()
        assert hint.status == 103
        await client.close()

    testing.run(scenario())


def test_hint_is_not_sent_to_http10(connect: Connect) -> None:
    assert exchange(connect, Sends(HINT, START, HELLO), GET_10).interim == []


def test_hint_before_an_error_answer(connect: Connect) -> None:
    response = exchange(connect, Sends(HINT))
    assert response.status == 500
    assert [hint.status for hint in response.interim] == [103]


@pytest.mark.parametrize("links", [["</a>"], [5], 5], ids=["string", "number", "no-list"])
def test_hint_with_malformed_links_is_an_error(connect: Connect, links: Any) -> None:
    app = Sends({"type": "http.response.early_hint", "links": links})
    response = exchange(connect, app)
    assert response.status == 500
    assert isinstance(app.errors[0], LocalProtocolError)
    assert response.interim == []


# ---- trailers


def _trailers(*headers: tuple[bytes, bytes], more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.trailers", "headers": list(headers), "more_trailers": more}


SUM = (b"x-sum", b"1")


def test_trailers_follow_the_body(connect: Connect) -> None:
    response = exchange(connect, Sends(start(trailers=True), body(b"hel", True), body(b"lo"), _trailers(SUM)))
    assert response.body == b"hello"
    assert response.trailers == [SUM]


def test_trailers_of_a_whole_body(connect: Connect) -> None:
    response = exchange(connect, Sends(start(trailers=True), HELLO, _trailers(SUM)))
    assert (response.body, response.trailers) == (b"hello", [SUM])


def test_trailers_in_several_messages(connect: Connect) -> None:
    more = [_trailers(SUM, more=True), _trailers(more=True), _trailers((b"X-Two", b"2"))]
    response = exchange(connect, Sends(start(trailers=True), HELLO, *more))
    assert response.trailers == [SUM, (b"x-two", b"2")]


def test_trailers_may_be_none(connect: Connect) -> None:
    response = exchange(connect, Sends(start(trailers=True), HELLO, {"type": "http.response.trailers"}))
    assert (response.body, response.trailers) == (b"hello", [])


def test_trailers_of_an_empty_body(connect: Connect) -> None:
    response = exchange(connect, Sends(start(trailers=True), END, _trailers(SUM)))
    assert (response.body, response.trailers) == (b"", [SUM])


@pytest.mark.parametrize(
    ("head", "data", "method"),
    [
        (start(trailers=True), GET_10, "GET"),
        (start(trailers=True), HEAD, "HEAD"),
        (start(204, trailers=True), GET, "GET"),
        (start(304, trailers=True), GET, "GET"),
        (start(200, (b"content-length", b"5"), trailers=True), GET, "GET"),
    ],
    ids=["http10", "head", "204", "304", "length"],
)
def test_trailers_without_a_place_are_dropped(connect: Connect, head: Any, data: bytes, method: str) -> None:
    async def scenario() -> None:
        client = connect(Sends(head, HELLO, _trailers(SUM)))
        await client.send(data)
        (response,) = client.responses(method)
        assert response.is_complete
        assert response.trailers == []
        assert b"x-sum" not in client.host.written

    testing.run(scenario())


def test_trailers_with_a_body_shorter_than_its_length_are_an_error(connect: Connect) -> None:
    app = Sends(start(200, (b"content-length", b"9"), trailers=True), HELLO, _trailers(SUM), yields=True)

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        (response,) = client.responses()
        assert not response.is_complete
        assert client.host.ending == "abort"

    testing.run(scenario())
    assert isinstance(app.errors[0], LocalProtocolError)


@pytest.mark.parametrize("name", [b"content-length", b"Transfer-Encoding", b"connection"])
def test_trailer_that_frames_is_refused(connect: Connect, name: bytes) -> None:
    app = Sends(start(trailers=True), HELLO, _trailers((name, b"1")), yields=True)

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        (response,) = client.responses()
        assert not response.is_complete

    testing.run(scenario())
    assert isinstance(app.errors[0], LocalProtocolError)


# ---- files

CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(CONTENT)
    return path


def _path(path: Path | str) -> dict[str, Any]:
    return {"type": "http.response.pathsend", "path": str(path)}


@pytest.mark.parametrize("sends_files", [False, True], ids=["read", "sendfile"])
class TestPathsend:
    def test_without_length(self, connect: Connect, file: Path, sends_files: bool) -> None:
        response = exchange(connect, Sends(START, _path(file)), sends_files=sends_files)
        assert response.body == CONTENT
        assert response.header(b"content-length") == b"%d" % len(CONTENT)

    def test_with_length(self, connect: Connect, file: Path, sends_files: bool) -> None:
        app = Sends(start(200, (b"content-length", b"%d" % len(CONTENT))), _path(file))
        assert exchange(connect, app, sends_files=sends_files).body == CONTENT

    def test_to_http10(self, connect: Connect, file: Path, sends_files: bool) -> None:
        response = exchange(connect, Sends(START, _path(file)), GET_10, sends_files=sends_files)
        assert response.body == CONTENT
        assert not response.is_last

    def test_of_head_sends_no_body(self, connect: Connect, file: Path, sends_files: bool) -> None:
        response = exchange(connect, Sends(START, _path(file)), HEAD, "HEAD", sends_files=sends_files)
        assert response.status == 200

    def test_of_an_empty_file(self, connect: Connect, tmp_path: Path, sends_files: bool) -> None:
        empty = tmp_path / "empty"
        empty.write_bytes(b"")
        response = exchange(connect, Sends(START, _path(empty)), sends_files=sends_files)
        assert (response.body, response.header(b"content-length")) == (b"", b"0")

    def test_with_trailers(self, connect: Connect, file: Path, sends_files: bool) -> None:
        app = Sends(start(trailers=True), _path(file), _trailers(SUM))
        response = exchange(connect, app, sends_files=sends_files)
        assert (response.body, response.trailers) == (CONTENT, [SUM])

    def test_twice_on_a_connection(self, connect: Connect, file: Path, sends_files: bool) -> None:
        async def scenario() -> None:
            client = connect(Sends(START, _path(file)), sends_files=sends_files)
            await client.send(GET + GET)
            responses = await client.wait_for_responses(2)
            assert [response.body for response in responses] == [CONTENT, CONTENT]

        testing.run(scenario())

    def test_of_a_missing_file_is_the_applications_error(
        self, connect: Connect, error_log: ErrorLog, tmp_path: Path, sends_files: bool
    ) -> None:
        app = Sends(START, _path(tmp_path / "missing"))
        assert exchange(connect, app, sends_files=sends_files).status == 500
        assert isinstance(app.errors[0], FileNotFoundError)

    def test_of_a_missing_file_can_be_mended(self, connect: Connect, tmp_path: Path, sends_files: bool) -> None:
        app = Sends(START, _path(tmp_path / "missing"), HELLO, catch=True)
        assert exchange(connect, app, sends_files=sends_files).body == b"hello"

    def test_of_a_directory_is_the_applications_error(
        self, connect: Connect, tmp_path: Path, sends_files: bool
    ) -> None:
        app = Sends(START, _path(tmp_path))
        assert exchange(connect, app, sends_files=sends_files).status == 500
        assert isinstance(app.errors[0], OSError)

    def test_with_a_wrong_length_is_the_applications_error(
        self, connect: Connect, file: Path, sends_files: bool
    ) -> None:
        app = Sends(start(200, (b"content-length", b"5")), _path(file))
        assert exchange(connect, app, sends_files=sends_files).status == 500
        assert isinstance(app.errors[0], LocalProtocolError)

    @pytest.mark.parametrize("path", [5, b"/bytes", None])
    def test_without_a_path_is_the_applications_error(self, connect: Connect, path: Any, sends_files: bool) -> None:
        app = Sends(START, {"type": "http.response.pathsend", "path": path})
        assert exchange(connect, app, sends_files=sends_files).status == 500
        assert isinstance(app.errors[0], LocalProtocolError)

    def test_to_a_client_that_leaves(
        self, connect: Connect, error_log: ErrorLog, file: Path, sends_files: bool
    ) -> None:
        app = Sends(START, _path(file))

        async def scenario() -> None:
            client = connect(app, sends_files=sends_files)
            client.host.is_client_taking = False
            await client.send(GET)
            await client.lose(ConnectionResetError("gone"))
            while client.service.state.active_requests:
                await turn_with_threads()

        testing.run(scenario())
        assert all(isinstance(error, OSError) for error in app.errors)
        assert error_log.records == []


@pytest.mark.parametrize("sends_files", [False, True], ids=["read", "sendfile"])
@pytest.mark.parametrize("as_object", [False, True], ids=["descriptor", "object"])
class TestZerocopysend:
    def _exchange(
        self, connect: Connect, file: Path, sends_files: bool, as_object: bool, *parts: dict[str, Any], **head: Any
    ) -> testing.Response:
        with file.open("rb") as opened:
            given = opened if as_object else opened.fileno()
            messages = [{"type": "http.response.zerocopysend", "file": given, **part} for part in parts]
            response = exchange(connect, Sends(start(**head), *messages), sends_files=sends_files)
            # It stays the application's to close.
            os.fstat(opened.fileno())
            return response

    def test_whole_file(self, connect: Connect, file: Path, sends_files: bool, as_object: bool) -> None:
        response = self._exchange(connect, file, sends_files, as_object, {})
        assert response.body == CONTENT
        assert response.header(b"content-length") == b"%d" % len(CONTENT)

    def test_part(self, connect: Connect, file: Path, sends_files: bool, as_object: bool) -> None:
        assert (
            self._exchange(connect, file, sends_files, as_object, {"offset": 100, "count": 50}).body == CONTENT[100:150]
        )

    def test_offset_only(self, connect: Connect, file: Path, sends_files: bool, as_object: bool) -> None:
        response = self._exchange(connect, file, sends_files, as_object, {"offset": len(CONTENT) - 10})
        assert response.body == CONTENT[-10:]

    def test_count_only(self, connect: Connect, file: Path, sends_files: bool, as_object: bool) -> None:
        assert self._exchange(connect, file, sends_files, as_object, {"count": 10}).body == CONTENT[:10]

    def test_count_beyond_the_end(self, connect: Connect, file: Path, sends_files: bool, as_object: bool) -> None:
        part = {"offset": len(CONTENT) - 10, "count": 1000}
        assert self._exchange(connect, file, sends_files, as_object, part).body == CONTENT[-10:]

    def test_offset_beyond_the_end(self, connect: Connect, file: Path, sends_files: bool, as_object: bool) -> None:
        assert self._exchange(connect, file, sends_files, as_object, {"offset": len(CONTENT) + 10}).body == b""

    def test_several_parts_without_offset_follow_each_other(
        self, connect: Connect, file: Path, sends_files: bool, as_object: bool
    ) -> None:
        parts = ({"count": 100, "more_body": True}, {"count": 200, "more_body": True}, {"count": 0})
        response = self._exchange(connect, file, sends_files, as_object, *parts)
        assert response.body == CONTENT[:300]
        assert response.chunks == [100, 200]

    def test_with_trailers(self, connect: Connect, file: Path, sends_files: bool, as_object: bool) -> None:
        with file.open("rb") as opened:
            part = {"type": "http.response.zerocopysend", "file": opened if as_object else opened.fileno(), "count": 9}
            response = exchange(connect, Sends(start(trailers=True), part, _trailers(SUM)), sends_files=sends_files)
        assert (response.body, response.trailers) == (CONTENT[:9], [SUM])

    def test_mixed_with_body_messages(self, connect: Connect, file: Path, sends_files: bool, as_object: bool) -> None:
        with file.open("rb") as opened:
            part = {
                "type": "http.response.zerocopysend",
                "file": opened if as_object else opened.fileno(),
                "count": 5,
                "more_body": True,
            }
            response = exchange(connect, Sends(START, body(b"<", True), part, body(b">")), sends_files=sends_files)
        assert response.body == b"<" + CONTENT[:5] + b">"


@pytest.mark.parametrize("given", [None, "path", object()], ids=["none", "string", "object"])
def test_zerocopysend_without_a_file_is_the_applications_error(connect: Connect, given: Any) -> None:
    app = Sends(START, {"type": "http.response.zerocopysend", "file": given})
    assert exchange(connect, app).status == 500
    assert isinstance(app.errors[0], LocalProtocolError)


def test_zerocopysend_of_a_closed_descriptor_is_the_applications_error(connect: Connect) -> None:
    app = Sends(START, {"type": "http.response.zerocopysend", "file": 1_000_000})
    assert exchange(connect, app).status == 500
    assert isinstance(app.errors[0], OSError)


async def turn_with_threads() -> None:
    """Wait for whatever the executor does, by giving it something to do after it."""
    await asyncio.get_running_loop().run_in_executor(None, int)
