"""What --preload saves: the memory of a server with several workers, with it and without.

    python benchmarks/preload.py [--workers 4] [--path /json] [APP]

The numbers are the proportional set size of all processes of the server together (``smaps_rollup``): a page that
several processes share counts once. They are taken after some requests were answered. Linux only.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
#: Requests before memory is looked at, and how long an answer may take, in seconds.
REQUESTS_COUNT = 400
PATIENCE_S = 60.0


def family_of(pid: int) -> list[int]:
    """A process and its descendants."""
    children = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        children += [int(child) for child in (task / "children").read_text().split()]
    return [pid] + [member for child in children for member in family_of(child)]


def shared_kibibytes(pid: int) -> int:
    """The proportional set size of a process."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1])


def measure(app: str, path: str, workers: int, options: list[str]) -> tuple[int, int]:
    """Start a server and look at it.

    Returns:
        KiB of all its processes together, and how many processes these are.
    """
    command = [
        sys.executable,
        "-m",
        "addax",
        app,
        "--workers",
        str(workers),
        "--port",
        "0",
        "--no-access-log",
        *options,
    ]
    with subprocess.Popen([*command, *options], cwd=HERE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            url = ""
            for line in server.stderr:
                found = re.search(r"running on (http://\S+)", line)
                if found:
                    url = found[1]
                    break
            assert url, "the server did not start"
            for _ in range(REQUESTS_COUNT):
                urllib.request.urlopen(url + path, timeout=PATIENCE_S).read()
            # A beat or two, so that all are at rest.
            time.sleep(1.0)
            pids = family_of(server.pid)
            return sum(map(shared_kibibytes, pids)), len(pids)
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=PATIENCE_S)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("app", nargs="?", default="fastapi_app:app")
    parser.add_argument("--path", default="/json")
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    plain, plain_count = measure(options.app, options.path, options.workers, [])
    shared, shared_count = measure(options.app, options.path, options.workers, ["--preload"])
    print(f"{options.app}, {options.workers} workers")
    print(f"without --preload: {plain / 1024:7.1f} MiB in {plain_count} processes")
    print(f"with --preload:    {shared / 1024:7.1f} MiB in {shared_count} processes, {shared / plain - 1:+.0%}")


if __name__ == "__main__":
    main()
