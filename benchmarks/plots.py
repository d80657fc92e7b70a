"""Draws the results as SVG: the same results give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
from instructions import BASE, FLOOR, LABELS
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator
from peers import PEERS
from ws_cases import EXCHANGES

COLORS = {
    "addax": "#c2410c",
    "addax-httptools": "#ea7a4b",
    "addax-pure": "#f3b393",
    "uvicorn": "#2563eb",
    "uvicorn-wsproto": "#93b4f5",
    "granian": "#0f766e",
    "gunicorn": "#7c3aed",
    "gunicorn-fast": "#a78bfa",
    "hypercorn": "#a16207",
    "fastpysgi": "#64748b",
    "floor-app": "#111827",
    "floor-answer": "#9ca3af",
}
#: A bar that is longer than this many times uvicorn's is cut there; its number stands beside it.
BAR_MAX = 2.2
_STYLE = {
    # Text stays text, and names of elements do not change from run to run.
    "svg.fonttype": "none",
    "svg.hashsalt": "addax",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "figure.facecolor": "white",
}

Records = Sequence[dict[str, Any]]


def draw_all(results: dict[str, Any], directory: Path) -> list[str]:
    """Write every plot that there are results for.

    Returns:
        The names of the files.
    """
    directory.mkdir(parents=True, exist_ok=True)
    mpl.rcParams.update(_STYLE)
    plots: dict[str, Callable[[dict[str, Any]], bool]] = {
        "cpu": _draw_overview,
        "cases": _draw_cases,
        "instructions": _draw_instructions,
        "websocket": _draw_websocket,
        "resources": _draw_resources,
        "growth": _draw_growth,
    }
    written = []
    for name, draw in plots.items():
        if draw(results):
            file = directory / f"benchmark-{name}.svg"
            plt.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
            # Ends of lines of matplotlib have blanks.
            lines = file.read_text(encoding="utf-8").splitlines()
            file.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")
            written.append(file.name)
        plt.close("all")
    return written


def _bars(axes: Axes, title: str, unit: str, values: dict[str, float], digits: int = 0) -> None:
    """Horizontal bars, one for each server, the shortest on top."""
    names = sorted(values, key=lambda name: values[name])
    base = values.get("uvicorn", max(values.values()))
    limit = base * BAR_MAX if base else max(values.values())
    for row, name in enumerate(names):
        value = values[name]
        axes.barh(row, min(value, limit), color=COLORS.get(name, "#64748b"), height=0.72)
        cut = "→ " if value > limit else ""
        axes.text(min(value, limit) + limit * 0.015, row, f"{cut}{value:,.{digits}f}", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), [PEERS[name].label for name in names])
    axes.invert_yaxis()
    axes.set_title(title)
    axes.set_xlabel(unit)
    axes.set_xlim(0, min(limit, max(values.values())) * 1.18)
    axes.tick_params(axis="y", length=0)


def _panels(panels: list[tuple[str, str, dict[str, float], int]], columns: int = 2) -> bool:
    panels = [panel for panel in panels if panel[2]]
    if not panels:
        return False
    rows = -(-len(panels) // columns)
    height = 0.75 + 0.235 * max(len(values) for _, _, values, _ in panels)
    figure, _grid = plt.subplots(rows, columns, figsize=(4.6 * columns, height * rows), squeeze=False, layout="tight")
    for axes, panel in zip(figure.axes, panels, strict=False):
        _bars(axes, *panel)
    for axes in figure.axes[len(panels) :]:
        axes.set_axis_off()
    return True


def _cpu(results: dict[str, Any], group: str, case: str, leave_out: Sequence[str] = ()) -> dict[str, float]:
    return {
        record["server"]: record["cpu_us"]
        for record in results.get("loopback", ())
        if record["group"] == group and record["case"] == case and "error" not in record
        if record["server"] not in leave_out
    }


def _draw_overview(results: dict[str, Any]) -> bool:
    less = ("addax-httptools", "addax-pure", "floor-answer", "gunicorn")
    unit = "CPU time of the server, µs a request (less is better)"
    return _panels(
        [
            ("GET, 13 bytes back", unit, _cpu(results, "raw", "hello", less), 0),
            ("the same, access log on", unit, _cpu(results, "raw, access log", "hello", less), 0),
            ("FastAPI route, JSON back", unit, _cpu(results, "FastAPI", "json", less), 0),
            ("the same, access log on", unit, _cpu(results, "FastAPI, access log", "json", less), 0),
        ]
    )


def _draw_cases(results: dict[str, Any]) -> bool:
    cases = dict.fromkeys(record["case"] for record in results.get("loopback", ()) if record["group"] == "raw")
    return _panels([(case, "CPU time of the server, µs a request", _cpu(results, "raw", case), 0) for case in cases])


def _draw_instructions(results: dict[str, Any]) -> bool:
    costs: dict[str, dict[str, float]] = results.get("instructions") or {}
    servers = [server for server in costs if server != FLOOR and server != "uvicorn-h11" and "h11" not in server]
    if not servers:
        return False
    cases = list(costs[servers[0]])
    _figure, axes = plt.subplots(figsize=(9.2, 3.6), layout="tight")
    colors = ["#c2410c", "#ea7a4b", "#f3b393"]
    width = 0.8 / len(servers)
    for number, server in enumerate(servers):
        color = "#2563eb" if server == BASE else colors[number % len(colors)]
        places = [place + (number - (len(servers) - 1) / 2) * width for place in range(len(cases))]
        axes.bar(
            places,
            [costs[server].get(case, 0) / 1000 for case in cases],
            width * 0.92,
            color=color,
            label=LABELS[server],
        )
    if FLOOR in costs:
        for place, case in enumerate(cases):
            label = LABELS[FLOOR] if place == 0 else None
            floor = costs[FLOOR].get(case, 0) / 1000
            axes.plot([place - 0.42, place + 0.42], [floor, floor], color="#111827", linestyle="--", label=label)
    axes.set_xticks(range(len(cases)), cases)
    axes.set_ylabel("thousand instructions a request")
    axes.set_title("In process, without sockets (less is better)")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.22)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")
    return True


def _draw_resources(results: dict[str, Any]) -> bool:
    def of(section: str, key: str, scale: float = 1.0, **where: str) -> dict[str, float]:
        return {
            record["server"]: record[key] / scale
            for record in results.get(section, ())
            if key in record and all(record[name] == value for name, value in where.items())
        }

    return _panels(
        [
            ("start to first answer", "ms (less is better)", of("startup", "wall_ms"), 0),
            ("an idle connection", "KiB (less is better)", of("memory", "bytes_each", 1024), 1),
            (
                "upload of a large body",
                "CPU s of the server for a GiB (less is better)",
                of("transfer", "cpu_s_per_gib", direction="upload"),
                2,
            ),
            (
                "download of a large body",
                "CPU s of the server for a GiB (less is better)",
                of("transfer", "cpu_s_per_gib", direction="download"),
                2,
            ),
        ]
    )


def _draw_websocket(results: dict[str, Any]) -> bool:
    def cpu(case: str) -> dict[str, float]:
        return {
            record["server"]: record["cpu_us"]
            for record in results.get("websocket", ())
            if record["case"] == case and "cpu_us" in record
        }

    def memory(deflate: bool) -> dict[str, float]:
        return {
            record["server"]: record["bytes_each"] / 1024
            for record in results.get("websocket-memory", ())
            if record["deflate"] == deflate and "bytes_each" in record
        }

    cases = dict.fromkeys(record["case"] for record in results.get("websocket", ()))
    return _panels(
        [
            *((EXCHANGES[case].title, "CPU time of the server, µs a message", cpu(case), 0) for case in cases),
            ("an idle WebSocket", "KiB (less is better)", memory(False), 1),
            ("an idle WebSocket with compression", "KiB (less is better)", memory(True), 1),
        ]
    )


SERIES_UNITS = {
    "connections": "connections at the same time",
    "header fields": "header fields of a request",
    "download bytes": "bytes of an answer's body",
    "upload bytes": "bytes of a request's body",
}


def _draw_growth(results: dict[str, Any]) -> bool:
    records: Records = [record for record in results.get("growth", ()) if "error" not in record]
    if not records:
        return False
    figure, _grid = plt.subplots(2, 2, figsize=(9.2, 6.4), layout="tight")
    for axes, (series, unit) in zip(figure.axes, SERIES_UNITS.items(), strict=True):
        of_series = [record for record in records if record["series"] == series]
        for name in dict.fromkeys(record["server"] for record in of_series):
            line = sorted((record["x"], record["cpu_us"]) for record in of_series if record["server"] == name)
            style = "--" if PEERS[name].is_floor else "-"
            xs, ys = [x for x, _ in line], [y for _, y in line]
            axes.plot(xs, ys, style, color=COLORS[name], marker="o", markersize=3, label=PEERS[name].label)
        axes.set_xscale("log")
        if series.endswith("bytes"):
            axes.set_yscale("log")
        else:
            axes.set_ylim(0, max(record["cpu_us"] for record in of_series) * 1.05 if of_series else 1)
        axes.set_xlabel(unit)
        axes.set_ylabel("CPU µs a request")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
        axes.grid(which="major", color="#e5e7eb", linewidth=0.6)
    figure.axes[1].legend(frameon=False, fontsize=8)
    return True


def _short(value: float) -> str:
    for size, unit in ((1_000_000, "M"), (1000, "k")):
        if value >= size:
            return f"{value / size:,.0f}{unit}"
    return f"{value:,.0f}"
