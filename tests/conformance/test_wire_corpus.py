"""Every row of the wire corpus, over every parser, however the bytes are cut: the same outcome."""

from __future__ import annotations

import json
import logging
from collections import Counter
from typing import Any

import pytest

from addax import testing
from tests.parsers import USABLE_PARSERS

from .wire_corpus import CASES
from .wire_corpus.case import CLOSED, OPEN, WAITING, Case, Seen, request

#: Sent by the modes before or after the row's own bytes.
EXTRA = request(b"GET /extra HTTP/1.1", b"Host: extra")
EXTRA_SEEN = Seen("GET", "/extra", fields={b"host": (b"extra",)})

#: Piece sizes for rows too large for single bytes: a prime, so that pieces end anywhere.
LARGE_BYTES = 3000
LARGE_STEP_BYTES = 997

#: All at once; in single bytes; as the second request of a connection; and with one more request behind it.
MODES = ("whole", "bytes", "second", "trailing")


def modes_of(case: Case) -> tuple[str, ...]:
    """Behind an end of input nothing can come, and behind half a request comes its other half."""
    return MODES[:-1] if case.then == WAITING or case.eof else MODES


class Echo:
    """Answers with what it saw; ``seen`` are the requests that it has read to the end of their bodies."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        saw = {
            "method": scope["method"],
            "path": scope["path"],
            "raw_path": scope["raw_path"].decode("latin-1"),
            "query": scope["query_string"].decode("latin-1"),
            "version": scope["http_version"],
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
            "body": body.decode("latin-1"),
        }
        self.seen.append(saw)
        answer = json.dumps(saw).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


@pytest.mark.parametrize("parser", USABLE_PARSERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_wire_case(case: Case, parser: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "addax")
    for mode in modes_of(case):
        print("mode:", mode)
        testing.run(play(case, parser, mode))
    # The peer's faults are no errors of the server, and none of them has a traceback.
    assert [record for record in caplog.records if record.levelno > logging.INFO or record.exc_info] == []


async def play(case: Case, parser: str, mode: str) -> None:
    app = Echo()
    service = testing.make_service(app, parser=parser, settings=case.settings, ws="none")
    client = testing.FakeClient(service)
    seen = list(case.seen)
    statuses = list(case.statuses)
    data = case.data
    if mode == "second":
        data = EXTRA + data
        seen.insert(0, EXTRA_SEEN)
        statuses.insert(0, 200)
    elif mode == "trailing":
        data += EXTRA
        if case.then == OPEN:
            seen.append(EXTRA_SEEN)
            statuses.append(200)

    step = None if mode != "bytes" else 1 if len(data) <= LARGE_BYTES else LARGE_STEP_BYTES
    await client.send(data, step)
    if case.eof:
        await client.send_eof()

    responses = client.responses(*(one.method for one in seen))
    if case.then == WAITING and case.may_continue and responses and responses[-1].status == 100:
        del responses[-1]
    assert [response.status for response in responses] == statuses, responses
    assert all(response.is_complete for response in responses)
    assert client.is_open == (case.then != CLOSED)
    _check_persistence(case, responses, seen)
    _check_interim(case, responses)
    assert len(app.seen) == len(seen)
    for expected, saw in zip(seen, app.seen, strict=True):
        _check_seen(expected, saw)
    for expected, saw, response in zip(seen, app.seen, responses, strict=False):
        if expected.method != "HEAD":
            assert json.loads(response.body) == saw, "the answer to another request"

    # Nothing is left behind, whatever happened.
    await client.close()
    assert service.state.active_requests == 0
    assert service.state.tasks == set()
    assert len(app.seen) == len(seen)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_applications_see_the_same_over_every_parser(case: Case) -> None:
    async def scenario(parser: str) -> list[dict[str, Any]]:
        app = Echo()
        client = testing.FakeClient(testing.make_service(app, parser=parser, settings=case.settings, ws="none"))
        await client.send(case.data)
        await client.close()
        return app.seen

    first, *others = [testing.run(scenario(parser)) for parser in USABLE_PARSERS]
    assert all(other == first for other in others)


def _check_persistence(case: Case, responses: list[testing.Response], seen: list[Seen]) -> None:
    """Only the last answer says close, and an end that the client did not bring about is always announced."""
    assert not any(response.is_last for response in responses[:-1])
    if not responses:
        return
    if case.then != CLOSED:
        assert not responses[-1].is_last
    elif responses[-1].status >= 400 or not case.eof:
        assert responses[-1].is_last
    for one, response in zip(seen, responses, strict=False):
        if one.version == "1.0":
            assert response.header(b"transfer-encoding") is None
            assert response.is_last or response.connection_options == [b"keep-alive"]


def _check_interim(case: Case, responses: list[testing.Response]) -> None:
    for response in responses:
        codes = [interim.status for interim in response.interim]
        assert codes in ([], [100]) if case.may_continue else codes == []


def _check_seen(expected: Seen, saw: dict[str, Any]) -> None:
    assert saw["method"] == expected.method
    assert saw["path"] == expected.path
    assert saw["raw_path"].encode("latin-1") == expected.expected_raw_path
    assert saw["query"].encode("latin-1") == expected.query
    assert saw["version"] == expected.version
    assert saw["body"].encode("latin-1") == expected.body
    for name, values in expected.fields.items():
        got = [value.encode("latin-1") for key, value in saw["headers"] if key.encode("latin-1") == name]
        assert got == list(values), name


def test_corpus_ids_are_unique() -> None:
    assert [id for id, count in Counter(case.id for case in CASES).items() if count > 1] == []


def test_corpus_sections_name_an_rfc() -> None:
    assert [case.id for case in CASES if not case.section.startswith("RFC ") or "§" not in case.section] == []


def test_corpus_is_as_large_as_the_documentation_says() -> None:
    assert len(CASES) > 900
