"""The benchmarks measure what they say: requests are answered as they have to be, the guard fails when it should."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
sys.path.append(str(BENCHMARKS))

import floors  # noqa: E402
import guard  # noqa: E402
import inprocess  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402
import ws_cases  # noqa: E402
from cases import ALL_CASES, CASES, HELLO_CLOSE, app  # noqa: E402
from ws_cases import EXCHANGES  # noqa: E402

SERVER = "addax-httptools"
BUILD = {"python": "3.13.0", "compiler": "cc 12"}


def entry_of(**counts: float) -> dict[str, Any]:
    return {"build": BUILD, "counts": costs_of(**counts)}


def costs_of(floor: float = 1000, **counts: float) -> dict[str, dict[str, float]]:
    return {SERVER: counts, guard.FLOOR: dict.fromkeys(counts, floor)}


class Kept:
    """A transport that keeps what was written."""

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True


def test_requests_that_vary_differ_in_bytes_and_not_in_length() -> None:
    for case in CASES.values():
        requests = case.requests(100)
        assert requests[0] == case.request
        assert len(set(map(len, requests))) == 1
        assert len(set(requests)) == (100 if case.vary else 1)
        assert len(set(map(id, requests))) == 100, "the hash of an object that comes again is at hand"


@pytest.mark.parametrize("case", [*CASES.values(), HELLO_CLOSE], ids=lambda case: case.name)
@pytest.mark.parametrize("kind", ["answer", "app"])
def test_floor_answers_what_a_server_would(kind: str, case: Any) -> None:
    async def run() -> Kept:
        transport = Kept()
        start = floors.starter(asyncio.get_running_loop())
        protocol = floors.AnswerFloor() if kind == "answer" else floors.AppFloor(app, start)
        protocol.connection_made(transport)
        protocol.data_received(case.request)
        await asyncio.sleep(0)
        return transport

    transport = asyncio.run(run())
    parts = inprocess.split_answer(transport.written)
    assert parts is not None
    assert (parts[0], parts[2]) == (case.status, case.body)
    assert transport.is_closed == (case is HELLO_CLOSE)


@pytest.mark.parametrize("server", ["addax-h11", "uvicorn-h11"])
def test_a_server_in_process_answers_every_case(server: str) -> None:
    name, _, parser = server.partition("-")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        make_protocol = inprocess.MAKERS[name](parser, loop)
        for case in CASES.values():
            assert inprocess.check(inprocess.Driver(loop, make_protocol), case) > len(case.body)
        driver = inprocess.ConnectionDriver(loop, make_protocol)
        size = inprocess.check(driver, HELLO_CLOSE)
        inprocess.ConnectionDriver(loop, make_protocol, size).run(HELLO_CLOSE.requests(3))
    finally:
        loop.close()
        asyncio.set_event_loop(None)


@pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=lambda exchange: exchange.name)
def test_messages_of_an_exchange_have_one_length_and_do_not_come_again_soon(exchange: Any) -> None:
    assert len(set(map(len, exchange.payloads))) == 1
    assert len(set(exchange.payloads)) == len(exchange.payloads)
    assert sum(map(len, exchange.payloads)) > 2**15, "a compressor would find a message that it has just had"
    assert len(exchange.payloads) % exchange.batch_count == 0
    assert not exchange.is_text or all(payload.decode() for payload in exchange.payloads)


def test_frame_is_the_one_of_the_standard() -> None:
    # RFC 6455 section 5.7: "Hello" as a server and as a client send it.
    assert ws_cases.frame(ws_cases.TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")
    assert ws_cases.frame(ws_cases.TEXT, b"Hello", ws_cases.MASK) == bytes.fromhex("818537fa213d7f9f4d5158")
    # RFC 7692 section 7.2.3.1: the same, compressed.
    assert ws_cases.compress(b"Hello", 15) == bytes.fromhex("f248cdc9c90700")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_frame_is_read_when_it_is_whole(size: int) -> None:
    payload = bytes(number % 251 for number in range(size))
    data = ws_cases.frame(ws_cases.BINARY, payload)
    assert ws_cases.read_frame(data + b"more") == (0x82, payload, len(data))
    assert all(ws_cases.read_frame(data[:cut]) is None for cut in {0, 1, 2, 3, 5, 9, len(data) - 1} if cut < len(data))
    masked = ws_cases.frame(ws_cases.BINARY, payload, b"abcd")
    assert ws_cases.apply_mask(masked[-size:] if size else b"", b"abcd") == payload
    with pytest.raises(ValueError, match="masked"):
        ws_cases.read_frame(masked)


@pytest.mark.parametrize("server", ["uvicorn-h11", "floor-app"])
def test_a_server_in_process_echoes_messages(server: str) -> None:
    name, _, parser = server.partition("-")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        driver = inprocess.MessageDriver(loop, inprocess.MAKERS[name](parser, loop))
        size = inprocess.check_exchange(driver, EXCHANGES["echo-20"])
        assert size == 22
        driver.transport.count(size)
        driver.run(EXCHANGES["echo-20"].requests(None))
        driver.lose()
    finally:
        loop.close()
        asyncio.set_event_loop(None)


def test_floor_of_bytes_sends_back_what_came() -> None:
    class Switched(Kept):
        def set_protocol(self, protocol: Any) -> None:
            self.protocol = protocol

    def open_on(transport: Any, exchange: Any) -> None:
        protocol = floors.AnswerFloor()
        protocol.connection_made(transport)
        protocol.data_received(ws_cases.handshake(exchange.path, deflate=False))
        assert transport.written.startswith(b"HTTP/1.1 101 ")
        transport.written = b""

    echo, first, second = Switched(), Switched(), Switched()
    open_on(echo, EXCHANGES["echo-20"])
    echo.protocol.data_received(b"abc")
    assert echo.written == b"abc"
    for transport in (first, second):
        open_on(transport, EXCHANGES["broadcast"])
    first.protocol.data_received(b"abc")
    assert (first.written, second.written) == (b"abc", b"abc")
    first.protocol.connection_lost(None)
    second.protocol.data_received(b"def")
    assert (first.written, second.written) == (b"abc", b"abcdef")
    second.protocol.connection_lost(None)


def test_guard_passes_what_has_risen_a_little() -> None:
    _lines, too_large = guard.judge(entry_of(hello=1000, post=1000), BUILD, costs_of(hello=1029, post=500))
    assert too_large == []


def test_guard_names_what_has_risen_too_much() -> None:
    _lines, too_large = guard.judge(entry_of(hello=1000, post=2000), BUILD, costs_of(hello=1031, post=2000))
    assert [(change.server, change.case, change.old, change.new) for change in too_large] == [
        (SERVER, "hello", 1000, 1031)
    ]
    assert re.search(r"hello +1,000 -> 1,031 instructions +\+3\.1%", str(too_large[0]))


def test_guard_compares_ratios_on_another_build() -> None:
    other = {**BUILD, "python": "3.13.9"}
    # Everything a third cheaper, because the interpreter is: nothing has changed.
    lines, too_large = guard.judge(entry_of(hello=3000), other, costs_of(floor=667, hello=2000))
    assert too_large == []
    assert "another python" in lines[0]
    # The same, and the server alone a fifth dearer: hidden in the count, seen in the ratio.
    _lines, too_large = guard.judge(entry_of(hello=3000), other, costs_of(floor=667, hello=2400))
    assert [change.case for change in too_large] == ["hello"]


def test_guard_says_what_it_could_not_count() -> None:
    lines, too_large = guard.judge(entry_of(hello=1000, post=1000), BUILD, costs_of(hello=1000))
    assert too_large == []
    assert any("not to be counted" in line and f"{SERVER} post" in line for line in lines)


def test_guard_without_an_entry_says_how_to_record() -> None:
    lines, too_large = guard.judge(None, BUILD, costs_of(hello=1000))
    assert too_large == []
    assert guard.UPDATE in lines[0]


def test_guard_update_replaces_its_own_entry_only(tmp_path: Path) -> None:
    file = tmp_path / "instructions.json"
    file.write_text(json.dumps({"3.9": entry_of(hello=1)}))
    guard.write_entry(file, BUILD, costs_of(hello=1000.4))
    guard.write_entry(file, BUILD, costs_of(hello=2000.4))
    entries = guard.read_file(file)
    assert list(entries) == ["3.9", guard.minor_version()]
    assert entries["3.9"] == entry_of(hello=1)
    assert entries[guard.minor_version()]["counts"] == costs_of(hello=2000)


def test_recorded_counts_are_those_that_the_guard_asks_for() -> None:
    for entry in guard.read_file(guard.FILE).values():
        for server, counts in entry["counts"].items():
            assert list(counts) == guard.SELECTION[server]


def test_every_peer_is_pinned() -> None:
    pinned = set(re.findall(r"^([\w-]+)==[\w.]+$", (BENCHMARKS / "requirements.txt").read_text(), re.MULTILINE))
    assert {peer.distribution for peer in peers.PEERS.values()} - {"", "addax"} <= pinned
    assert set(peers.DEFAULT) < set(peers.PEERS)


def results_of(*records: dict[str, Any]) -> dict[str, Any]:
    about = {
        "date": "2026-01-02",
        "cpu": "a processor",
        "cores": 2,
        "cores_used": 2,
        "memory_gib": 4,
        "system": "Linux",
        "python": "CPython 3.13.0",
        "compiler": "GCC",
        "addax": {"compiled": True, "parsers": ["h11"], "cython": []},
        "versions": {peer.distribution: "1.0" for peer in peers.PEERS.values() if peer.distribution},
        "tools": {"wrk": "wrk 4", "valgrind": None},
    }
    return {"about": about, "loopback": list(records)}


def test_report_tells_a_failure_as_one() -> None:
    group = {"group": "raw", "case": "stream"}
    text = report.render(
        results_of(
            {**group, "server": "addax", "cpu_us": 12.34, "rate": 81000.4, "p50_ms": 0.8, "p99_ms": 1.9},
            {**group, "server": "fastpysgi", "error": "fastpysgi answers nobody"},
        )
    )
    assert "| stream: GET, 10 pieces of 128 bytes back | 12.3 | fails |" in text
    assert "| stream: GET, 10 pieces of 128 bytes back | 81,000 (0.8; 2) | fails |" in text
    assert "- fastpysgi, loopback, stream: `fastpysgi answers nobody`" in text


def test_report_tells_why_there_is_no_number() -> None:
    case = {"case": "echo-4k-deflate"}
    memory = [
        {"server": "uvicorn", "deflate": False, "bytes_each": 2048},
        {"server": "uvicorn", "deflate": True, "bytes_each": 5120},
        {"server": "granian", "deflate": True, "absent": "has none"},
        {"server": "hypercorn", "deflate": True, "error": "hypercorn closed a connection"},
    ]
    measured = {"cpu_us": 12.34, "rate": 81000.4, "p50_ms": 0.8, "p99_ms": 1.9}
    messages = [
        {**case, "server": "uvicorn", **measured},
        {**case, "server": "granian", "absent": "has accepted no compression"},
        {**case, "server": "gunicorn-fast", "absent": "has accepted no compression"},
        {**case, "server": "hypercorn", "error": "hypercorn answered wrongly"},
    ]
    results = {**results_of(), "websocket": messages, "websocket-memory": memory}
    text = report.render(results)
    assert "| echo-4k-deflate: 4 KiB of JSON, compressed | 12.3 | fails |" in text
    assert "\n\n-: granian; gunicorn asgi, parser in C: has accepted no compression." in text
    assert "- hypercorn, websocket, echo-4k-deflate: `hypercorn answered wrongly`" in text
    assert "- hypercorn, websocket-memory, with compression: `hypercorn closed a connection`" in text
    assert "| uvicorn | 2.0 | 5.0 |" in text
    assert "| WebSocket, 4 KiB echoed, compressed | 12 | fails |" in report.render_readme(results)


def test_every_exchange_has_a_row_in_the_page() -> None:
    records = [
        {"case": case, "server": "addax", "cpu_us": 1.0, "rate": 1.0, "p50_ms": 1.0, "p99_ms": 1.0}
        for case in EXCHANGES
    ]
    costs = {"uvicorn-httptools": {"hello": 2000.0, "echo-20": 1000.0}, "addax-h11": {"echo-20": 250.0}}
    page = report.render_page({**results_of(), "websocket": records, "instructions": costs}, [])
    assert all(page.count(f"| {case}: {EXCHANGES[case].title} |") == 2 for case in EXCHANGES)
    assert "| hello: GET, 13 bytes back | 2,000 | - |" in page
    assert "| echo-20: WebSocket, 20 bytes of text, echoed | 1,000 | 250 (0.25) |" in page


def test_every_case_has_a_row_in_the_readme_or_the_page() -> None:
    records = [
        {"group": "raw", "case": case, "server": "addax", "cpu_us": 1.0, "rate": 1.0, "p50_ms": 1.0, "p99_ms": 1.0}
        for case in ALL_CASES
    ]
    page, readme = report.render_page(results_of(*records), []), report.render_readme(results_of(*records))
    assert all(f"| {case}: " in page for case in ALL_CASES)
    assert "| GET, 13 bytes back | 1 |" in readme


def test_published_numbers_are_in_the_pages() -> None:
    file = BENCHMARKS / "results.json"
    if not file.exists():
        pytest.skip("nothing was published")
    results = json.loads(file.read_text(encoding="utf-8"))
    assert report.render(results) in report.PAGE.read_text(encoding="utf-8")
    assert report.render_readme(results) in report.README.read_text(encoding="utf-8")


def test_command_line_parses() -> None:
    subprocess.run(["sh", "-n", str(BENCHMARKS / "run")], check=True, stdin=subprocess.DEVNULL, timeout=30)
    assert (BENCHMARKS / "run").stat().st_mode & 0o111 == 0o111
