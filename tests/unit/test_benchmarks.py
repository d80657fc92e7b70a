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
from cases import ALL_CASES, CASES, HELLO_CLOSE, app  # noqa: E402

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
    finally:
        loop.close()
        asyncio.set_event_loop(None)


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
