"""Results as Markdown, and where they are published: docs/benchmarks.md with its plots, and the README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cases import ALL_CASES
from environment import ROOT
from instructions import BASE, LABELS
from peers import PEERS
from ws_cases import EXCHANGES

PAGE = ROOT / "docs" / "benchmarks.md"
IMAGES = ROOT / "docs" / "img"
README = ROOT / "README.md"
BEGIN, END = "<!-- benchmark:begin -->", "<!-- benchmark:end -->"
#: The servers of the README, in this order; gunicorn with the parser that is the faster one.
README_SERVERS = ("addax", "uvicorn", "granian", "gunicorn-fast", "hypercorn", "fastpysgi")
ABSENT = "-"
FAILS = "fails"

Records = Sequence[dict[str, Any]]


def render(results: dict[str, Any]) -> str:
    """Everything, as it stands in docs/benchmarks.md without the plots."""
    parts = [render_machine(results["about"])]
    for title, text in (
        ("In process: instructions a request", render_instructions(results.get("instructions") or {})),
        ("On loopback: CPU time of the server, µs a request", render_cpu(_loopback(results))),
        ("On loopback: requests a second, and latency", render_rates(_loopback(results))),
        ("WebSocket: CPU time of the server, µs a message", render_websocket(results.get("websocket", []))),
        (
            "WebSocket: messages a second, and latency",
            _message_table(results.get("websocket", []), "{rate:,.0f} ({p50_ms:.1f}; {p99_ms:.0f})"),
        ),
        ("Start, memory, large bodies", render_resources(results)),
        ("How the cost grows: CPU µs a request", render_growth(results.get("growth", []))),
        ("What failed", render_failures(results)),
    ):
        if text:
            parts.append(f"### {title}\n\n{text}")
    return "\n\n".join(parts)


def _loopback(results: dict[str, Any]) -> Records:
    return [*results.get("loopback", []), *results.get("tls", [])]


def render_machine(about: dict[str, Any]) -> str:
    """Machine, versions and date."""
    versions = about["versions"]
    addax = about["addax"]
    kind = "compiled" if addax["compiled"] else "plain Python, because nothing of it was compiled"
    tools = ", ".join(text for text in about["tools"].values() if text)
    quick = " **A quick run: the numbers are rough.**" if about.get("is_quick") else ""
    cores = "a core each for server and load" if about["cores_used"] > 1 else "server and load share one core"
    return (
        f"{about['date']}; {about['cpu']}, {about['cores']} cores ({cores}), {about['memory_gib']} GiB; "
        f"{about['system']}; {about['python']} ({about['compiler']}); {tools}.{quick}\n\n"
        f"addax {versions['addax']} ({kind}; parsers: {', '.join(addax['parsers'])}), "
        + ", ".join(f"{name} {version}" for name, version in versions.items() if name != "addax")
        + "."
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are numbers. Columns without any number are left out."""
    kept = [
        number for number in range(len(head)) if number == 0 or any(row[number] not in (ABSENT, "") for row in rows)
    ]
    lines = [[head[number] for number in kept], ["---" if number == 0 else "---:" for number in kept]]
    lines += [[row[number] for number in kept] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def render_instructions(costs: dict[str, dict[str, float]]) -> str:
    """In brackets the ratio to uvicorn with httptools."""
    servers = list(costs)
    if not servers:
        return ""
    rows = []
    for case in costs[servers[0]]:
        base = costs.get(BASE, {}).get(case)
        cells = []
        for server in servers:
            cost = costs[server].get(case)
            ratio = f" ({cost / base:.2f})" if cost and base and server != BASE else ""
            cells.append(f"{cost:,.0f}{ratio}" if cost else ABSENT)
        title = ALL_CASES[case].title if case in ALL_CASES else f"WebSocket, {EXCHANGES[case].title}"
        rows.append([f"{case}: {title}", *cells])
    return table(["case", *(LABELS[server] for server in servers)], rows)


def _case_rows(records: Records) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
    rows: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for record in records:
        rows.setdefault((record["group"], record["case"]), {})[record["server"]] = record
    return rows


def _title(group: str, case: str) -> str:
    more = ", access log" if group.endswith("access log") else ", TLS" if group == "TLS" else ""
    return f"{case}: {ALL_CASES[case].title}{more}"


def _cell(record: dict[str, Any] | None, text: str) -> str:
    """A number of a record, by a format such as ``{cpu_us:.1f}``."""
    if record is None or "absent" in record:
        return ABSENT
    return FAILS if "error" in record else text.format(**record)


def render_cpu(records: Records) -> str:
    """Rows are cases, columns servers."""
    return _case_table(records, "{cpu_us:.1f}")


def render_rates(records: Records) -> str:
    """Requests a second, and in brackets the median and the 99th percentile of latency in milliseconds."""
    return _case_table(records, "{rate:,.0f} ({p50_ms:.1f}; {p99_ms:.0f})")


def _case_table(records: Records, text: str) -> str:
    if not records:
        return ""
    servers = [name for name in PEERS if any(record["server"] == name for record in records)]
    rows = [
        [_title(group, case), *(_cell(of_case.get(name), text) for name in servers)]
        for (group, case), of_case in _case_rows(records).items()
    ]
    return table(["case", *(PEERS[name].label for name in servers)], rows)


def render_websocket(records: Records) -> str:
    """Rows are cases, columns servers; below it why there is no number."""
    notes = []
    for reason in dict.fromkeys(record["absent"] for record in records if "absent" in record):
        names = dict.fromkeys(record["server"] for record in records if record.get("absent") == reason)
        notes.append(f"\n\n{ABSENT}: {'; '.join(PEERS[name].label for name in names)}: {reason}.")
    return _message_table(records, "{cpu_us:,.1f}") + "".join(notes)


def _message_table(records: Records, text: str) -> str:
    if not records:
        return ""
    of_case: dict[str, dict[str, dict[str, Any]]] = {}
    for record in records:
        of_case.setdefault(record["case"], {})[record["server"]] = record
    servers = [name for name in PEERS if any(record["server"] == name for record in records)]
    rows = [
        [f"{case}: {EXCHANGES[case].title}", *(_cell(of_server.get(name), text) for name in servers)]
        for case, of_server in of_case.items()
    ]
    return table(["case", *(PEERS[name].label for name in servers)], rows)


def render_resources(results: dict[str, Any]) -> str:
    """Rows are servers."""

    def of(section: str, name: str, **where: object) -> dict[str, Any] | None:
        for record in results.get(section, ()):
            if record["server"] == name and all(record[key] == value for key, value in where.items()):
                found: dict[str, Any] = record
                return found
        return None

    def in_kib(record: dict[str, Any] | None) -> dict[str, Any] | None:
        return {**record, "kib_each": record["bytes_each"] / 1024} if record and "bytes_each" in record else record

    rows = []
    for name, peer in PEERS.items():
        start, memory = of("startup", name), in_kib(of("memory", name))
        up, down = (of("transfer", name, direction=direction) for direction in ("upload", "download"))
        plain, compressed = (in_kib(of("websocket-memory", name, deflate=deflate)) for deflate in (False, True))
        speed = "{mib_s:,.0f} ({cpu_s_per_gib:.2f})"
        cells = [
            _cell(start, "{wall_ms:.0f} ({cpu_ms:.0f})"),
            _cell(memory, "{server_mib:.1f}"),
            _cell(memory, "{kib_each:.1f}"),
            _cell(plain, "{kib_each:.1f}"),
            _cell(compressed, "{kib_each:.1f}"),
            _cell(up, speed),
            _cell(down, speed),
        ]
        if any(cell != ABSENT for cell in cells):
            rows.append([peer.label, *cells])
    head = [
        "server",
        "start to first answer, ms (CPU ms)",
        "memory when idle, MiB",
        "for each idle connection, KiB",
        "for each idle WebSocket, KiB",
        "for each idle WebSocket with compression, KiB",
        "upload, MiB/s (CPU s a GiB)",
        "download, MiB/s (CPU s a GiB)",
    ]
    return table(head, rows) if rows else ""


def render_growth(records: Records) -> str:
    """One table for each series."""
    servers = [name for name in PEERS if any(record["server"] == name for record in records)]
    parts = []
    for series in dict.fromkeys(record["series"] for record in records):
        at: dict[int, dict[str, dict[str, Any]]] = {}
        for record in records:
            if record["series"] == series:
                at.setdefault(record["x"], {})[record["server"]] = record
        rows = [
            [f"{x:,}", *(_cell(of_x.get(name), "{cpu_us:,.1f}") for name in servers)] for x, of_x in sorted(at.items())
        ]
        parts.append(table([series, *(PEERS[name].label for name in servers)], rows))
    return "\n\n".join(parts)


def render_failures(results: dict[str, Any]) -> str:
    """Where a server did not do what was asked, and what it did."""
    lines = []
    for section in ("loopback", "tls", "websocket", "startup", "memory", "websocket-memory", "transfer", "growth"):
        for record in results.get(section, ()):
            if "error" in record:
                lines.append(f"- {PEERS[record['server']].label}, {section}{_what(record)}: `{record['error']}`")
    return "\n".join(lines)


def _what(record: dict[str, Any]) -> str:
    if "series" in record:
        return f", {record['series']} {record['x']}"
    what = record.get("case") or record.get("direction") or ("with compression" if record.get("deflate") else "")
    return f", {what}" if what else ""


def render_readme(results: dict[str, Any]) -> str:
    """A plot, and one table of the numbers that matter most."""
    by_case = _case_rows(_loopback(results))
    rows = []
    for group, case, title in (
        ("raw", "hello", "GET, 13 bytes back"),
        ("raw", "browser-varying", "a browser's GET, different each time"),
        ("raw", "post", "POST of 1 KiB, echoed"),
        ("raw", "large", "GET, 10 KiB back"),
        ("raw", "stream", "a stream of 10 pieces"),
        ("raw, access log", "hello", "GET, 13 bytes back, access log on"),
        ("FastAPI", "json", "FastAPI, JSON back"),
        ("FastAPI, access log", "json", "FastAPI, JSON back, access log on"),
        ("TLS", "hello", "GET, 13 bytes back, TLS"),
        ("TLS", "hello-close", "the same with a handshake for each"),
    ):
        of_case = by_case.get((group, case))
        if of_case:
            cells = [_cell(of_case.get(name), "{cpu_us:.0f}") for name in README_SERVERS]
            rows.append([title, *cells])
    of_exchange: dict[str, dict[str, dict[str, Any]]] = {}
    for record in results.get("websocket", ()):
        of_exchange.setdefault(record["case"], {})[record["server"]] = record
    for case, title in (
        ("echo-20", "WebSocket, 20 bytes echoed"),
        ("echo-4k", "WebSocket, 4 KiB echoed"),
        ("echo-4k-deflate", "WebSocket, 4 KiB echoed, compressed"),
        ("echo-1m", "WebSocket, 1 MiB echoed"),
        ("broadcast", "WebSocket, to 200 clients, each delivered"),
    ):
        if case in of_exchange:
            rows.append([title, *(_cell(of_exchange[case].get(name), "{cpu_us:,.0f}") for name in README_SERVERS)])
    for section, key, scale, text, title, where in (
        ("memory", "bytes_each", 1024, "{:.1f}", "KiB of memory for an idle connection", {}),
        ("websocket-memory", "bytes_each", 1024, "{:.1f}", "KiB for an idle WebSocket", {"deflate": False}),
        ("websocket-memory", "bytes_each", 1024, "{:.1f}", "KiB for an idle one with compression", {"deflate": True}),
        ("startup", "wall_ms", 1, "{:.0f}", "ms from the start to the first answer", {}),
    ):
        values = {
            record["server"]: record[key] / scale
            for record in results.get(section, ())
            if key in record and where.items() <= record.items()
        }
        if values:
            rows.append([title, *(text.format(values[name]) if name in values else ABSENT for name in README_SERVERS)])
    about = results["about"]
    versions = about["versions"]
    head = [
        "µs of CPU a request",
        *(f"{PEERS[name].distribution} {versions[PEERS[name].distribution]}" for name in README_SERVERS),
    ]
    return (
        "![CPU time a request, by server](docs/img/benchmark-cpu.svg)\n\n"
        f"{table(head, rows)}\n\n"
        f"{about['python']}, {about['cpu']}, one core for the server, 64 connections, {about['date']}. "
        "The floor runs the application and does nothing else; no server on the same loop can be below it. "
        f"“{FAILS}”: did not answer. How it was measured, the rest of the numbers, and what they do not show: "
        "[benchmarks](docs/benchmarks.md)."
    )


def publish(results: dict[str, Any]) -> None:
    """Write plots, page and README."""
    from plots import draw_all

    written = draw_all(results, IMAGES)
    replace_marked(PAGE, render_page(results, written))
    replace_marked(README, render_readme(results))


def render_page(results: dict[str, Any], images: Sequence[str]) -> str:
    """What stands in docs/benchmarks.md between the marks."""
    titles = {
        "benchmark-cpu.svg": "CPU time a request, the main cases",
        "benchmark-cases.svg": "CPU time a request, every case of the raw application",
        "benchmark-instructions.svg": "Instructions a request, in process",
        "benchmark-websocket.svg": "WebSocket: CPU time a message, and memory",
        "benchmark-resources.svg": "Start, memory, large bodies",
        "benchmark-growth.svg": "How the cost grows",
    }
    plots = "\n\n".join(f"![{titles[name]}](img/{name})" for name in titles if name in images)
    return f"{plots}\n\n{render(results)}"


def replace_marked(file: Path, text: str) -> None:
    """Put text between the marks of a page.

    Raises:
        SystemExit: the page has no marks.
    """
    page = file.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{file} has no marks {BEGIN} and {END}")
    file.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
