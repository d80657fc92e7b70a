"""supervise.watching and supervise.watchfiles_backend: changes of real files are told, by every watcher."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from addax.supervise import watchfiles_backend, watching
from addax.supervise.patterns import WatchRules, make_rules
from addax.supervise.watchfiles_backend import WatchfilesWatcher, has_to_poll
from addax.supervise.watching import Burst, StatWatcher, Watcher, make_watcher, shown, take_look

#: No change takes that long to be told; a test that waits longer has failed.
LONG_S = 30
Make = Callable[[WatchRules], Watcher]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "SHORTEST_DELAY_S", 0.01)
    monkeypatch.setattr(watchfiles_backend, "STEP_MS", 5)
    monkeypatch.delenv("WATCHFILES_FORCE_POLLING", raising=False)


@pytest.fixture(params=["stat", "watchfiles", "trees", "polling"])
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Every way of watching: looking; events of directories, of trees as on macOS; watchfiles told to poll."""
    monkeypatch.setattr(watchfiles_backend, "IS_PER_DIRECTORY", request.param != "trees")
    if request.param == "polling":
        monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "1")
    kind = StatWatcher if request.param == "stat" else WatchfilesWatcher
    return lambda rules: kind(rules, 0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """What is watched; things outside can stand beside it."""
    home = tmp_path.resolve() / "home"
    for name in ("pkg/deep", "templates", ".venv/lib"):
        (home / name).mkdir(parents=True)
    for name in ("app.py", "pkg/x.py", "pkg/deep/y.py", "templates/a.html", ".venv/lib/z.py"):
        (home / name).write_text("first")
    return home


@contextlib.asynccontextmanager
async def started(watcher: Watcher) -> AsyncIterator[Watcher]:
    await watcher.start()
    try:
        yield watcher
    finally:
        await watcher.close()


async def told(watcher: Watcher, *expected: Path) -> None:
    """Wait until all of these were told, in one burst or, on a slow machine, several; and nothing else was."""
    missing = set(expected)
    while missing:
        paths = await asyncio.wait_for(watcher.wait_for_change(), LONG_S)
        assert paths == sorted(set(paths))
        assert set(paths) <= set(expected)
        missing -= set(paths)


def watch(watcher: Watcher, test: Callable[[Watcher], Awaitable[None]]) -> None:
    async def main() -> None:
        async with started(watcher):
            await test(watcher)

    asyncio.run(main())


def rules_of(home: Path, includes: Iterable[str] = (), excludes: Iterable[str] = ()) -> WatchRules:
    return make_rules([], list(includes), list(excludes), home)


def save_by_rename(path: Path) -> None:
    temporary = path.with_name(path.name + ".tmp~")
    temporary.write_text("saved as editors do")
    temporary.replace(path)


def make_tree_again(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.mkdir()
    (directory / "x.py").write_text("made again")


#: What happens in ``home``, and the files that are told. ``beside`` is a directory next to it.
CHANGES: dict[str, tuple[Callable[[Path, Path], object], list[str]]] = {
    "written": (lambda home, beside: (home / "app.py").write_text("second"), ["app.py"]),
    "written deep": (lambda home, beside: (home / "pkg/deep/y.py").write_text("second"), ["pkg/deep/y.py"]),
    "added": (lambda home, beside: (home / "pkg/new.py").touch(), ["pkg/new.py"]),
    "deleted": (lambda home, beside: (home / "app.py").unlink(), ["app.py"]),
    "renamed": (lambda home, beside: (home / "app.py").rename(home / "main.py"), ["app.py", "main.py"]),
    "saved by rename": (lambda home, beside: save_by_rename(home / "app.py"), ["app.py"]),
    "directory moved in": (lambda home, beside: (beside / "lib").rename(home / "lib"), ["lib/deep/l.py"]),
    "directory moved out": (lambda home, beside: (home / "pkg").rename(beside / "p"), ["pkg/deep/y.py", "pkg/x.py"]),
    "directory copied in": (lambda home, beside: shutil.copytree(beside / "lib", home / "lib"), ["lib/deep/l.py"]),
    "directory deleted": (lambda home, beside: shutil.rmtree(home / "pkg"), ["pkg/deep/y.py", "pkg/x.py"]),
    "directory made again": (lambda home, beside: make_tree_again(home / "pkg"), ["pkg/deep/y.py", "pkg/x.py"]),
    "behind a link": (lambda home, beside: (beside / "linked/k.py").write_text("second"), ["link/k.py"]),
    "what a link is for": (lambda home, beside: (beside / "one.py").write_text("second"), ["one.py"]),
    "named, deleted": (lambda home, beside: (beside / "named.ini").unlink(), ["../beside/named.ini"]),
    "named, elsewhere": (lambda home, beside: (beside / "named.ini").write_text("second"), ["../beside/named.ini"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_is_told_and_the_next_one_too(make: Make, home: Path, change: str) -> None:
    beside = home.with_name("beside")
    for name in ("lib/deep/l.py", "linked/k.py", "one.py", "named.ini"):
        (beside / name).parent.mkdir(parents=True, exist_ok=True)
        (beside / name).write_text("first")
    (home / "link").symlink_to(beside / "linked")
    (home / "one.py").symlink_to(beside / "one.py")
    do, names = CHANGES[change]
    expected = [Path(os.path.normpath(home / name)) for name in names]

    async def test(watcher: Watcher) -> None:
        do(home, beside)
        await told(watcher, *expected)
        for path in expected:  # in place or not: what is at this path now is watched
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("another time")
        await told(watcher, *expected)

    watch(make(rules_of(home, ["../beside/named.ini"])), test)


def test_includes_and_excludes_are_for_every_watcher(make: Make, home: Path) -> None:
    rules = rules_of(home, ["templates/*.html", "*.toml"], ["pkg/deep", "test_*"])

    async def test(watcher: Watcher) -> None:
        for name in ("a.html", "templates/.a.html", "pkg/deep/y.py", "test_a.py", ".venv/lib/z.py", "data.json"):
            (home / name).write_text("this counts for nothing")
        (home / "pkg/__pycache__").mkdir()
        (home / "pkg/__pycache__/x.py").touch()
        (home / "templates/a.html").write_text("this counts")
        await told(watcher, home / "templates/a.html")
        (home / "x.toml").touch()
        await told(watcher, home / "x.toml")

    watch(make(rules), test)


def test_change_while_the_consumer_is_busy_is_kept(make: Make, home: Path) -> None:
    async def test(watcher: Watcher) -> None:
        (home / "app.py").write_text("second")
        await told(watcher, home / "app.py")
        (home / "pkg/x.py").write_text("second")
        await asyncio.wait_for(watcher._has_news.wait(), LONG_S)
        (home / "pkg/new.py").touch()
        await told(watcher, home / "pkg/x.py", home / "pkg/new.py")

    watch(make(rules_of(home)), test)


def test_giving_up_waiting_loses_nothing(make: Make, home: Path) -> None:
    async def test(watcher: Watcher) -> None:
        waiting = asyncio.ensure_future(watcher.wait_for_change())
        await asyncio.sleep(0)
        (home / "app.py").write_text("second")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await told(watcher, home / "app.py")

    watch(make(rules_of(home)), test)


def test_close_ends_the_thread_and_who_waits(make: Make, home: Path) -> None:
    async def main() -> None:
        watcher = make(rules_of(home))
        with pytest.raises(RuntimeError, match="is not watching"):
            await watcher.wait_for_change()
        await watcher.start()
        thread = watcher._thread
        waiting = asyncio.ensure_future(watcher.wait_for_change())
        await asyncio.sleep(0)

        await watcher.close()
        await watcher.close()

        with pytest.raises(RuntimeError, match="not watching any more"):
            await waiting
        with pytest.raises(RuntimeError, match="not watching any more"):
            await watcher.wait_for_change()
        assert thread is not None
        thread.join(LONG_S)
        assert not thread.is_alive()

    asyncio.run(main())


def test_close_before_start() -> None:
    asyncio.run(Scripted().close())


def test_thread_ends_when_its_loop_is_gone(make: Make, home: Path) -> None:
    watcher = make(rules_of(home))
    asyncio.run(watcher.start())

    (home / "app.py").write_text("second")

    assert watcher._thread is not None
    watcher._thread.join(LONG_S)
    assert not watcher._thread.is_alive()


def test_watched_directory_may_go_and_come_back(make: Make, home: Path) -> None:
    away = home.with_name("away")
    files = [home / "app.py", home / "pkg/x.py", home / "pkg/deep/y.py"]

    async def test(watcher: Watcher) -> None:
        os.rename(home, away)
        await told(watcher, *files)
        os.rename(away, home)
        await told(watcher, *files)
        (home / "app.py").write_text("second")
        await told(watcher, home / "app.py")

    watch(make(rules_of(home)), test)


def test_watched_directory_may_come_later(make: Make, home: Path) -> None:
    later = home / "later"

    async def test(watcher: Watcher) -> None:
        later.mkdir()
        (later / "a.py").touch()
        await told(watcher, later / "a.py")
        (later / "a.py").write_text("second")
        await told(watcher, later / "a.py")

    watch(make(make_rules([later], [], [], home)), test)


def test_names_that_are_not_utf_8(make: Make, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    odd = home / os.fsdecode(b"caf\xe9.py")
    odd_directory = home / os.fsdecode(b"\xe9t\xe9")

    async def test(watcher: Watcher) -> None:
        odd.write_text("")
        await told(watcher, odd)
        odd.write_text("second")
        await told(watcher, odd)
        odd_directory.mkdir()
        (odd_directory / "a.py").write_text("")
        await told(watcher, odd_directory / "a.py")
        (odd_directory / "a.py").write_text("second")
        (home / "app.py").write_text("second")
        await told(watcher, odd_directory / "a.py", home / "app.py")

    watch(make(rules_of(home)), test)
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_what_cannot_be_read_is_left_out(make: Make, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not with the modes of the file system, which mean nothing to root.
    scandir = os.scandir

    def guarded(path: str) -> Any:
        if path == str(home / "pkg"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(watching.os, "scandir", guarded)

    async def test(watcher: Watcher) -> None:
        (home / "app.py").write_text("second")
        await told(watcher, home / "app.py")

    watch(make(rules_of(home)), test)


def test_log_written_all_the_time_delays_nothing(make: Make, home: Path) -> None:
    async def test(watcher: Watcher) -> None:
        async def write_log() -> None:
            with (home / "app.log").open("w") as log:
                while True:
                    print("a line", file=log, flush=True)
                    await asyncio.sleep(0)

        writing = asyncio.ensure_future(write_log())
        (home / "app.py").write_text("second")
        await told(watcher, home / "app.py")
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing

    watch(make(rules_of(home)), test)


# --- A look ---------------------------------------------------------------------------------------------------------


class NeverSet:
    def is_set(self) -> bool:
        return False


def look_of(rules: WatchRules) -> watching.Look:
    look = take_look(rules, NeverSet())  # type: ignore[arg-type]
    assert look is not None
    return look


def test_look_passes_what_is_no_file(home: Path) -> None:
    os.mkfifo(home / "fifo.py")
    (home / "nowhere.py").symlink_to(home / "missing")
    (home / "itself.py").symlink_to(home / "itself.py")
    (home / "dir.py").mkdir()

    look = look_of(rules_of(home))

    assert set(look.files) == {f"{home}/app.py", f"{home}/pkg/x.py", f"{home}/pkg/deep/y.py"}
    # What comes to be at the end of a link is a new file.
    assert look.apart == {f"{home}/nowhere.py", f"{home}/itself.py"}


def test_look_follows_each_link_to_another_place_once(home: Path) -> None:
    beside = home.with_name("beside")
    (beside / "lib/sub").mkdir(parents=True)
    (beside / "data").mkdir()
    (beside / "lib/l.py").touch()
    for link, target in {
        home / "a_up": home.parent,
        home / "b_root": home,
        home / "c_pkg": home / "pkg",
        home / "d_lib": beside / "lib",
        home / "e_sub": beside / "lib/sub",
        home / "f_data": beside / "data",
        home / ".git": beside / "lib",
        beside / "lib/itself": beside / "lib",
        beside / "lib/beside": beside,
    }.items():
        link.symlink_to(target)

    look = look_of(rules_of(home, [], [str(beside / "data")]))

    assert {path for path in look.files if "beside" not in path} == {
        f"{home}/app.py", f"{home}/pkg/x.py", f"{home}/pkg/deep/y.py", f"{home}/d_lib/l.py"
    }  # fmt: skip
    assert look.linked == {str(beside / "lib")}
    assert look == look_of(rules_of(home, [], [str(beside / "data")]))


def test_look_is_broken_off(home: Path) -> None:
    watcher = StatWatcher(rules_of(home), 1.0)
    watcher._begin()
    before = watcher._seen
    (home / "app.py").write_text("second")
    watcher._stop.set()

    assert watcher._next_changes(LONG_S) == set()
    assert watcher._seen is before


def test_look_that_takes_long_is_taken_seldom(home: Path) -> None:
    pauses: list[float | None] = []
    watcher = StatWatcher(rules_of(home), 1.0)
    watcher._stop.wait = lambda timeout=None: bool(pauses.append(timeout))  # type: ignore[method-assign]
    for pause_s, look_s in (1.0, 10.0), (0.5, 10.0), (1.0, 0.1):
        watcher._look_s = look_s
        watcher._next_changes(pause_s)

    # Not so in a burst, of which somebody wants to hear.
    assert pauses == [30.0, 0.5, 1.0]


# --- A burst --------------------------------------------------------------------------------------------------------


def test_burst_is_over_when_it_is_quiet() -> None:
    burst = Burst(1.0)

    assert not burst.add(set(), 100.0)
    assert not burst.add({"a"}, 101.0)
    assert not burst.add(set(), 101.4)
    assert not burst.add({"a", "b"}, 101.45)
    assert not burst.add(set(), 101.9)
    assert burst.add(set(), 101.95)
    assert burst.paths == {"a", "b"}


def test_burst_without_end_is_reported() -> None:
    burst = Burst(0.25)
    moments = [number / 10 for number in range(100)]

    first = next(moment for moment in moments if burst.add({f"{moment}"}, moment))

    assert first == watching.LONGEST_BURST_S
    assert len(burst.paths) == 21


class Scripted(Watcher):
    """Does what it is told: a set was seen, an error is raised."""

    name = "Scripted"

    def __init__(self, *seen: set[str] | BaseException) -> None:
        super().__init__(make_rules([], [], [], "."), 0.25)
        self.seen: queue.Queue[set[str] | BaseException] = queue.Queue()
        self.pauses: list[float] = []
        for item in seen:
            self.seen.put(item)

    def _begin(self) -> None:
        self._take()

    def _next_changes(self, pause_s: float) -> set[str]:
        self.pauses.append(pause_s)
        return self._take()

    async def close(self) -> None:
        self._stop.set()
        self.seen.put(set())
        await super().close()

    def _take(self) -> set[str]:
        item = self.seen.get(timeout=LONG_S)
        if isinstance(item, BaseException):
            raise item
        return item


def test_burst_comes_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(watching, "monotonic", lambda: next(clock) / 10)
    watcher = Scripted(set(), set(), {"/b"}, {"/c", "/b"}, set(), {"/a"}, set(), set())

    async def main() -> None:
        await watcher.start()
        assert await asyncio.wait_for(watcher.wait_for_change(), LONG_S) == [Path("/a"), Path("/b"), Path("/c")]
        for seen in {"/d"}, set(), set():
            watcher.seen.put(seen)
        assert await asyncio.wait_for(watcher.wait_for_change(), LONG_S) == [Path("/d")]
        await watcher.close()

    asyncio.run(main())
    # Looks follow each other faster while it is open whether the burst is over.
    assert watcher.pauses[:10] == [0.25, 0.25, 0.125, 0.125, 0.125, 0.125, 0.125, 0.25, 0.125, 0.125]


def test_error_of_the_first_look_is_that_of_start() -> None:
    with pytest.raises(OSError, match="no more"):
        asyncio.run(Scripted(OSError("no more")).start())


def test_later_error_is_that_of_who_waits() -> None:
    async def main() -> None:
        watcher = Scripted(set(), OSError("no more"))
        await watcher.start()
        for _ in range(2):
            with pytest.raises(OSError, match="no more"):
                await asyncio.wait_for(watcher.wait_for_change(), LONG_S)

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_a_thread_that_broke_down() -> None:
    class Panic(BaseException):
        """As raised by code in Rust that is broken."""

    async def main(*seen: set[str] | BaseException) -> None:
        watcher = Scripted(*seen)
        try:
            await watcher.start()
            await asyncio.wait_for(watcher.wait_for_change(), LONG_S)
        finally:
            assert watcher._thread is not None
            watcher._thread.join(LONG_S)

    with pytest.raises(RuntimeError, match="not watching any more"):
        asyncio.run(main(set(), Panic()))
    with pytest.raises(RuntimeError, match="cannot watch"):
        asyncio.run(main(Panic()))


# --- What the system does not tell ----------------------------------------------------------------------------------


class Refusing:
    """RustNotify that does not come to be."""

    errors: list[Exception]

    def __init__(self, *arguments: object) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.real = REAL_NOTIFY(*arguments)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


REAL_NOTIFY = watchfiles_backend.RustNotify


@pytest.mark.parametrize(
    ("error", "is_warned"),
    [
        (OSError("OS file watch limit reached. about [\"x\ny\"]"), True),
        (RuntimeError("Error creating recommended watcher: Too many open files"), True),
        (FileNotFoundError("gone"), False),
        (PermissionError("denied"), False),
    ],
)  # fmt: skip
def test_without_events_files_are_looked_at(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, is_warned: bool
) -> None:
    monkeypatch.setattr(Refusing, "errors", [error], raising=False)
    monkeypatch.setattr(watchfiles_backend, "RustNotify", Refusing)
    watcher = WatchfilesWatcher(rules_of(home), 0)

    async def test(_: Watcher) -> None:
        for text in ("second", "the third"):
            (home / "app.py").write_text(text)
            await told(watcher, home / "app.py")

    with caplog.at_level(logging.WARNING):
        watch(watcher, test)

    assert watcher._is_polling is is_warned
    assert [record.getMessage().isprintable() for record in caplog.records] == [True] * is_warned


class Deaf:
    """RustNotify where the system tells nothing."""

    def __init__(self, *arguments: object) -> None:
        pass

    def watch(self, debounce_ms: int, step_ms: int, timeout_ms: int, stop: threading.Event) -> str:
        return "stop" if stop.wait(timeout_ms / 1000) else "timeout"

    def close(self) -> None:
        pass


def test_files_are_looked_at_now_and_then_in_any_case(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchfiles_backend, "RustNotify", Deaf)
    monkeypatch.setattr(watchfiles_backend, "RARE_LOOK_S", 0.02)

    async def test(watcher: Watcher) -> None:
        (home / "app.py").write_text("second")
        await told(watcher, home / "app.py")

    watch(WatchfilesWatcher(rules_of(home), 0), test)


def test_event_under_the_real_name_of_a_linked_directory_counts(home: Path) -> None:
    # As macOS has it, which watches trees.
    beside = home.with_name("beside")
    beside.mkdir()
    (home / "link").symlink_to(beside)
    watcher = WatchfilesWatcher(rules_of(home), 0)
    watcher._compare()

    assert watcher._is_worth_a_look(watchfiles_backend.MODIFIED, f"{beside}/deep/k.py")
    assert not watcher._is_worth_a_look(watchfiles_backend.MODIFIED, f"{home.parent}/k.py")


@pytest.mark.parametrize(
    ("value", "release", "expected"),
    [
        (None, "6.1.0-13-amd64", False),
        ("", "6.1.0-13-amd64", False),
        ("1", "6.1.0-13-amd64", True),
        (None, "5.15.90.1-microsoft-standard-WSL2", True),
        ("False", "5.15.90.1-microsoft-standard-WSL2", False),
        ("disabled", "6.1.0-13-amd64", False),
    ],
)
def test_has_to_poll(monkeypatch: pytest.MonkeyPatch, value: str | None, release: str, expected: bool) -> None:
    monkeypatch.setattr(watchfiles_backend.platform, "release", lambda: release)
    if value is not None:
        monkeypatch.setenv("WATCHFILES_FORCE_POLLING", value)

    assert has_to_poll() is expected


# --- The choice, and the log ----------------------------------------------------------------------------------------


def test_watchfiles_is_taken_if_it_is_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = rules_of(home)

    assert (type(make_watcher(rules, 0.25)), make_watcher(rules, 0.25).name) == (WatchfilesWatcher, "WatchFiles")

    monkeypatch.delitem(sys.modules, "addax.supervise.watchfiles_backend")
    monkeypatch.setitem(sys.modules, "watchfiles._rust_notify", None)
    assert (type(make_watcher(rules, 0.25)), make_watcher(rules, 0.25).name) == (StatWatcher, "StatReload")


def test_shown(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    home = tmp_path.resolve()

    assert shown([home / "app.py", home / "pkg/x.py"], home) == "'app.py', 'pkg/x.py'"
    assert shown([home / "app.py"], home / "link") == "'app.py'"
    assert shown([home.parent / "x.py"], home) == f"'{home.parent}/x.py'"
    assert shown([home / "a\n\x1b[31m.py", home / os.fsdecode(b"\xe9")], home) == r"'a\n\x1b[31m.py', '\udce9'"
    assert shown((home / name for name in "abcdea"), home) == "'a', 'b', 'c', 'd', 'e'"
    assert shown([home / name for name in "abcdefgh"], home) == "'a', 'b', 'c', 'd', 'e' and 3 more"
