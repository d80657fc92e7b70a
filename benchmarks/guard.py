"""Fails when a request or a connection has become more expensive: the counts of ``instructions.json`` and this tree.

    python benchmarks/guard.py             compare; fails for a rise of more than 3 %
    python benchmarks/guard.py --update    accept: write what was counted into instructions.json, to be committed
    python benchmarks/guard.py --ci        the same as without, but what cannot be compared here is no failure

Counted is on the interpreter that runs this, with addax from this tree: compiled, where it was built in place, and as
plain Python. Instructions do not depend on how busy the machine is, but on everything that was compiled: interpreter,
uvloop, httptools, C library, Cython, compiler. So there is an entry for each minor version of Python, which says what
it was counted with. With the same, counts are compared. With another, only the ratio to the floor can be, the
application alone counted in the same run: most of what differs between two builds is in both. That is coarser, hence
the wider limit. Without an entry, or without valgrind, there is nothing to compare; that is said.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from environment import HERE, probe_addax, tree_path
from instructions import FLOOR, PURE, Costs, available, count_pairs

FILE = HERE / "instructions.json"
CASES = ["hello", "browser", "post", "large", "missing", "stream", "hello-close"]
#: What is counted, of what there is.
SELECTION: dict[str, list[str]] = {
    "addax-native": CASES,
    "addax-httptools": CASES,
    "addax-httptools-pure": ["hello", "hello-close"],
    FLOOR: CASES,
}
RISE_MAX = 0.03
#: On another build, by ratio. Seen between Debian's CPython 3.11.2 (profile-guided) and a 3.11.7 built with -O3: the
#: floor differs by 12 %, ratios of compiled modules rise by 2 % at most, that of plain Python by 9 %.
OTHER_BUILD_RISE_MAX, OTHER_BUILD_PURE_RISE_MAX = 0.05, 0.10
UPDATE = "python benchmarks/guard.py --update"


@dataclass(frozen=True)
class Change:
    """One number, then and now.

    Attributes:
        server: what was counted.
        case: with what.
        old: as recorded.
        new: as counted now; both in instructions, or both as ratio to the floor.
    """

    server: str
    case: str
    old: float
    new: float

    @property
    def rise(self) -> float:
        """By how much it has risen, as a share of what it was."""
        return self.new / self.old - 1

    def __str__(self) -> str:
        unit, digits = ("instructions", 0) if self.old > 100 else ("x floor", 3)
        numbers = f"{self.old:,.{digits}f} -> {self.new:,.{digits}f} {unit}"
        return f"{self.server:22} {self.case:10} {numbers:40} {self.rise:+.1%}"


def compare(old: Costs, new: Costs) -> list[Change]:
    """Every count that is in both."""
    return [
        Change(server, case, cost, new[server][case])
        for server, costs in old.items()
        if server != FLOOR
        for case, cost in costs.items()
        if case in new.get(server, {})
    ]


def compare_ratios(old: Costs, new: Costs) -> list[Change]:
    """The same as ratios to the floor of the same run."""

    def ratios(costs: Costs) -> Costs:
        floor = costs[FLOOR]
        return {
            server: {case: cost / floor[case] for case, cost in of_server.items() if case in floor}
            for server, of_server in costs.items()
        }

    return compare(ratios(old), ratios(new))


def describe_build() -> dict[str, Any]:
    """Everything that was compiled and takes part."""
    addax = probe_addax(False, **tree_path())
    return {
        "python": " ".join(sys.version.split()),
        "uvloop": version("uvloop"),
        "httptools": version("httptools"),
        "libc": " ".join(platform.libc_ver()),
        "machine": platform.machine(),
        "valgrind": _first_line("valgrind", "--version"),
        # These two matter to compiled modules only.
        "cython": addax["cython"],
        "compiler": _first_line("cc", "--version") if addax["compiled"] else "",
    }


def _first_line(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return (done.stdout.splitlines() or [""])[0]


def judge(entry: dict[str, Any] | None, build: dict[str, Any], costs: Costs) -> tuple[list[str], list[Change]]:
    """Compare counts with an entry of the file.

    Args:
        entry: what was recorded for this minor version of Python; None: nothing was.
        build: ``describe_build`` of now.
        costs: what was counted now.

    Returns:
        What to tell, line by line, and the changes that are too large.
    """
    if entry is None:
        return [f"Nothing is recorded for Python {minor_version()}. Record it: {UPDATE}"], []
    is_same = entry["build"] == build
    changes = (compare if is_same else compare_ratios)(entry["counts"], costs)
    lines = []
    if not is_same:
        differs = [name for name in build if entry["build"].get(name) != build[name]]
        lines.append(
            f"The entry was counted with another {', '.join(differs)}: ratios to the floor are compared, and a rise of "
            f"up to {OTHER_BUILD_RISE_MAX:.0%} passes, of plain Python {OTHER_BUILD_PURE_RISE_MAX:.0%}. "
            f"For counts, record this build: {UPDATE}"
        )
    missing = sorted(
        {f"{server} {case}" for server, of_server in entry["counts"].items() for case in of_server}
        - {f"{server} {case}" for server, of_server in costs.items() for case in of_server}
    )
    if missing:
        lines.append(f"Recorded, but not to be counted here (was addax built in place?): {', '.join(missing)}")
    lines += [str(change) for change in changes]
    if changes and all(change.rise < -RISE_MAX for change in changes):
        lines.append(f"All of it has become cheaper. Keep it so: {UPDATE}")
    return lines, [change for change in changes if change.rise > limit_of(change.server, is_same)]


def limit_of(server: str, is_same_build: bool) -> float:
    """The largest rise that passes."""
    if is_same_build:
        return RISE_MAX
    return OTHER_BUILD_PURE_RISE_MAX if server.endswith(PURE) else OTHER_BUILD_RISE_MAX


def minor_version() -> str:
    """As the file calls it."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def read_file(file: Path) -> dict[str, Any]:
    """All entries, by minor version."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def write_entry(file: Path, build: dict[str, Any], costs: Costs) -> None:
    """Replace the entry of this minor version. What could not be counted here goes."""
    entries = read_file(file)
    rounded = {server: {case: round(cost) for case, cost in of_server.items()} for server, of_server in costs.items()}
    entries[minor_version()] = {"build": build, "counts": rounded}
    ordered = dict(sorted(entries.items(), key=lambda item: int(item[0].partition(".")[2])))
    file.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Count and compare."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--update", action="store_true", help="accept what is counted now")
    arguments.add_argument("--ci", action="store_true", help="pass where there is nothing to compare with")
    options = arguments.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: no instructions are counted, nothing is compared.")
        sys.exit(0 if options.ci else 2)
    entry = read_file(FILE).get(minor_version())
    if entry is None and not options.update:
        print(f"Nothing is recorded for Python {minor_version()} in {FILE.name}. Record it: {UPDATE}")
        sys.exit(0 if options.ci else 2)
    path = tree_path()
    pairs = [(server, SELECTION[server]) for server in available(path) if server in SELECTION]
    costs, build = count_pairs(pairs, **path), describe_build()
    if options.update:
        write_entry(FILE, build, costs)
        print(f"{FILE.name}: recorded {', '.join(costs)} for Python {minor_version()}.")
        return
    lines, too_large = judge(entry, build, costs)
    print("\n".join(lines))
    if too_large:
        print("\nA request has become more expensive:")
        print("\n".join(f"  {change}" for change in too_large))
        sys.exit(f"If that is the price of something worth it, say so in the commit and run: {UPDATE}")


if __name__ == "__main__":
    main()
