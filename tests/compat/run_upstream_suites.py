"""Run the test suites of httpx and sse-starlette on addax, and on uvicorn, and compare them test by test.

``python tests/compat/run_upstream_suites.py`` makes a virtual environment in a temporary directory, downloads the two
projects' latest source distributions from the package index with pip, and runs their suites twice: under
``python -m addax.compat`` in an environment where uvicorn is not installed, then, as the baseline, with uvicorn
installed and without addax. Nothing of it is kept or committed. It takes some minutes and needs a network.

Exit code 0: every test that passes on uvicorn passes on addax too; but for those that compare with a recording of
uvicorn's very bytes (``Suite.recorded``), which pass when just these two lines of addax's answer are replaced.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UVICORN = "uvicorn==0.54.0"
ADDAX_NEEDS = ["click>=8.0", "h11>=0.16", "httptools>=0.9", "uvloop>=0.23; sys_platform != 'win32'"]


@dataclass(frozen=True)
class Suite:
    """One project: its source distribution, and what its tests import besides it."""

    name: str
    extras: str
    needs: list[str]
    #: A version of the same project, and files of its tests that the latest source distribution has left out.
    helpers: tuple[str, list[str]] = ("", [])
    #: Tests that compare a whole response with one that was recorded from uvicorn with h11, byte for byte.
    recorded: tuple[str, ...] = ()
    options: list[str] = field(default_factory=list)


SUITES = [
    Suite(
        "httpx",
        "[brotli,cli,http2,socks,zstd]",
        # The upper bounds: every warning is an error in this suite, and later versions have new ones.
        ["pytest<9", "anyio", "chardet<6", "click<8.3", "cryptography", "trio", "trustme"],
        # They expect "server: uvicorn", and "Transfer-Encoding: chunked" in h11's spelling, where addax has counted the
        # body and sends its Content-Length.
        recorded=tuple(
            f"tests.test_main::test_{name}"
            for name in ("auth", "binary", "follow_redirects", "get", "json", "post", "redirects", "verbose")
        ),
        # Tests marked so need the Internet. The warning comes whenever Python's garbage collector happens to find what
        # the client of test_write_timeout[trio] has left behind; with uvicorn it does so too.
        options=["-m", "not network", "-W", "ignore:Async generator:ResourceWarning"],
    ),
    Suite(
        "sse-starlette",
        "",
        ["pytest", "pytest-asyncio", "asgi-lifespan", "httpx", "httpx2", "fastapi", "psutil", "tenacity", "portend"],
        # The latest ones have tests/test*.py only, and not the example that one of them runs.
        helpers=("3.2.1", ["tests/conftest.py", "tests/anyio_compat.py"]),
        options=["--ignore=tests/test_broadcasting_example.py"],
    ),
]


@dataclass
class Outcome:
    """What became of one run."""

    tests: dict[str, str]
    served_by: str

    def summary(self) -> str:
        counts = Counter(self.tests.values())
        return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))


class Workshop:
    """A virtual environment and the unpacked source distributions."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        subprocess.run([sys.executable, "-m", "venv", str(directory / "venv")], check=True)
        scripts = directory / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
        self.python = str(scripts / "python")

    def pip(self, *arguments: str) -> None:
        subprocess.run(
            [self.python, "-m", "pip", "-qq", "--disable-pip-version-check", *arguments],
            check=True,
            cwd=self.directory,
        )

    def unpack(self, suite: Suite) -> Path:
        """Download the source distribution of a project's latest version, complete its tests, and unpack it."""
        source = self._download(suite.name, self.directory / suite.name)
        version, files = suite.helpers
        if version:
            helpers = self._download(f"{suite.name}=={version}", self.directory / f"{suite.name}-{version}")
            for file in files:
                if not (source / file).exists():
                    shutil.copy(helpers / file, source / file)
        return source

    def _download(self, requirement: str, target: Path) -> Path:
        name = requirement.partition("==")[0]
        self.pip("download", "--no-deps", "--no-binary", name, "--dest", str(target), requirement)
        (archive,) = target.glob("*.tar.gz")
        with tarfile.open(archive) as file:
            file.extractall(target, filter="data")
        return target / archive.name.removesuffix(".tar.gz")

    def has_uvicorn(self) -> bool:
        code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('uvicorn') is None)"
        return subprocess.run([self.python, "-I", "-c", code], check=False).returncode == 0

    def run(self, suite: Suite, source: Path, label: str, prefix: list[str], *options: str) -> Outcome:
        """Run a suite and read its results."""
        report = self.directory / f"{suite.name}-{label}.xml"
        paths = [str(ROOT / "src"), str(ROOT / "tests" / "compat")]
        command = [*prefix, self.python, "-m", "pytest", "-q", "-p", "served_by", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, f"--junitxml={report}", *suite.options, *options],
            cwd=source,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=900,
        )
        (self.directory / f"{suite.name}-{label}.log").write_text(done.stdout)
        served_by = next((line for line in done.stdout.splitlines() if line.startswith("SERVED BY")), "")
        if not report.exists() or not served_by:
            sys.exit(f"{suite.name} on {label} did not run:\n{done.stdout[-4000:]}")
        return Outcome(_read_report(report), served_by)


def _read_report(path: Path) -> dict[str, str]:
    tests: dict[str, str] = {}
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if kinds else "passed"
        tests[f"{case.get('classname')}::{case.get('name')}"] = outcome
    return tests


def _check_server(outcome: Outcome, is_addax: bool) -> None:
    """The proof that the right server served: the module's file, and requests that it has counted itself."""
    is_ours = str(ROOT / "src" / "addax") in outcome.served_by
    if is_ours != is_addax or ", 0 requests" in outcome.served_by:
        sys.exit(f"this ran on something else: {outcome.served_by}")


def run_on_addax(shop: Workshop, suite: Suite, source: Path) -> tuple[Outcome, Outcome | None]:
    """Returns the outcome, and that of the recorded tests when they are shown what they expect."""
    if shop.has_uvicorn():
        sys.exit("uvicorn is installed, so this would prove nothing")
    prefix = [shop.python, "-m", "addax.compat", "--"]
    outcome = shop.run(suite, source, "addax", prefix)
    _check_server(outcome, is_addax=True)
    if not suite.recorded:
        return outcome, None
    ids = [name.replace(".", "/", 1).replace("::", ".py::") for name in suite.recorded]
    shown = shop.run(suite, source, "addax-as-recorded", prefix, "--as-recorded", *ids)
    _check_server(shown, is_addax=True)
    return outcome, shown


def compare(suite: Suite, addax: Outcome, shown: Outcome | None, uvicorn: Outcome) -> bool:
    """Print both outcomes and every difference; returns whether all is explained."""
    print(f"\n{suite.name}")
    print(f"  on addax    {addax.summary()}   [{addax.served_by}]")
    print(f"  on uvicorn  {uvicorn.summary()}   [{uvicorn.served_by}]")
    is_fine = addax.tests.keys() == uvicorn.tests.keys()
    for name in sorted(addax.tests.keys() | uvicorn.tests.keys()):
        here, there = addax.tests.get(name, "missing"), uvicorn.tests.get(name, "missing")
        if here == there == "failed":
            print(f"  failed on both: {name}")
        elif here != there and shown is not None and name in suite.recorded:
            again = shown.tests.get(name, "missing")
            print(f"  {here} on addax, {there} on uvicorn: {name} (compares with a recording; shown that: {again})")
            is_fine &= again == "passed"
        elif here != there:
            print(f"  {here} on addax, {there} on uvicorn: {name}")
            is_fine &= there == "failed"
    return is_fine


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the suites of httpx and sse-starlette on addax and on uvicorn.")
    parser.add_argument("names", nargs="*", help="which of them (default: all)")
    parser.add_argument("--directory", type=Path, help="work here, and leave logs and reports behind")
    arguments = parser.parse_args()
    suites = [suite for suite in SUITES if not arguments.names or suite.name in arguments.names]
    with tempfile.TemporaryDirectory() as temporary:
        directory = arguments.directory or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        shop = Workshop(directory.resolve())
        sources = {suite.name: shop.unpack(suite) for suite in suites}
        for suite in suites:
            shop.pip("install", *suite.needs, *ADDAX_NEEDS, f"{sources[suite.name]}{suite.extras}")
        on_addax = {suite.name: run_on_addax(shop, suite, sources[suite.name]) for suite in suites}
        shop.pip("install", UVICORN)
        # The recordings are of h11.
        shop.pip("uninstall", "--yes", "httptools")
        is_fine = True
        for suite in suites:
            baseline = shop.run(suite, sources[suite.name], "uvicorn", [])
            _check_server(baseline, is_addax=False)
            is_fine &= compare(suite, *on_addax[suite.name], baseline)
    print("\nok" if is_fine else "\nNOT ok")
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
