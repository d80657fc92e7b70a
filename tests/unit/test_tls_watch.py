"""Certificates that change on disk, and those that are about to expire; the clock and the loop are the test's."""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from addax.core.errors import ConfigError
from addax.net.certificates import Certificate
from addax.net.tls_material import TlsMaterial, look_at
from addax.net.tls_watch import LOOK_S, RETRY_LOOKS, TlsWatch

DAY_S = 86400.0
NOW = 1_800_000_000.0
BROKEN = "The certificates have changed and cannot be used, the old ones stay in use: "


class Timer:
    """Of ``FakeLoop``."""

    def __init__(self, delay: float, callback: Callable[[], None]) -> None:
        self.delay = delay
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeLoop:
    """Keeps the timers."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(delay, callback))
        return self.timers[-1]

    def turn(self) -> None:
        """The next timer is due."""
        timer = self.timers.pop()
        assert not timer.is_cancelled
        timer.callback()


def make_material(*files: Path, certificates: Any = ()) -> TlsMaterial:
    names = [str(file) for file in files]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return TlsMaterial(context, files=names, certificates=certificates, seen=look_at(names))


def certificate(ends_in_days: float, lifetime_days: float = 365.0, name: str = "a.example") -> Certificate:
    ends_at = NOW + ends_in_days * DAY_S
    return Certificate("/run/a.pem", "", frozenset([name]), ends_at - lifetime_days * DAY_S, ends_at)


class Watched:
    """A watch over two files, and what it does."""

    def __init__(self, folder: Path, warning_days: int = 14, tells_expiry: bool = True, certificates: Any = ()) -> None:
        self.certfile, self.keyfile = folder / "server.pem", folder / "server.key"
        self.certfile.write_text("certificate 1")
        self.keyfile.write_text("key 1")
        self.epoch = NOW
        self.read_count = 0
        self.used: list[TlsMaterial] = []
        self.answer: Any = None
        self.loop: Any = FakeLoop()
        self.watch = TlsWatch(
            self.make(certificates), self.reload, self.used.append, warning_days, tells_expiry, epoch=lambda: self.epoch
        )

    def make(self, certificates: Any = ()) -> TlsMaterial:
        return make_material(self.certfile, self.keyfile, certificates=certificates)

    def reload(self) -> TlsMaterial | None:
        self.read_count += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        material: TlsMaterial | None = self.answer
        return material

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.watch.look()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    caplog.set_level(logging.INFO, "addax.error")

    def read() -> list[tuple[str, str]]:
        found = [(record.levelname, record.getMessage()) for record in caplog.records]
        caplog.clear()
        return found

    return read


# ---- changes


def test_nothing_is_read_while_nothing_changes(watched: Watched) -> None:
    watched.look(5)
    assert watched.read_count == 0


def test_change_is_read_when_it_is_the_same_twice(watched: Watched, lines: Any) -> None:
    watched.answer = watched.make([certificate(30), certificate(60, name="b.example")])
    watched.certfile.write_text("certificate number 2")
    watched.look()
    assert watched.read_count == 0
    watched.keyfile.write_text("key number 2")
    watched.look()
    assert watched.read_count == 0, "the key came later"
    watched.look(3)
    assert watched.read_count == 1
    assert watched.used == [watched.answer]
    assert lines() == [
        ("INFO", "Took the changed certificate of a.example, valid until 2027-02-14."),
        ("INFO", "Took the changed certificate of b.example, valid until 2027-03-16."),
    ]


def test_same_size_and_replaced_files_are_changes(watched: Watched, tmp_path: Path) -> None:
    found = os.stat(watched.certfile)
    os.utime(watched.certfile, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    watched.look(2)
    assert watched.read_count == 1
    fresh = tmp_path / "fresh"
    fresh.write_text("certificate 1")
    found = os.stat(watched.certfile)
    os.utime(fresh, ns=(found.st_atime_ns, found.st_mtime_ns))
    os.replace(fresh, watched.certfile)
    watched.look(2)
    assert watched.read_count == 2


def test_link_that_leads_elsewhere_is_a_change(tmp_path: Path) -> None:
    # As Kubernetes changes a secret.
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "server.pem").write_text(name)
    (tmp_path / "data").symlink_to("one")
    read: list[bool] = []
    watch = TlsWatch(make_material(tmp_path / "data" / "server.pem"), lambda: read.append(True), print, 14)  # type: ignore[func-returns-value]
    (tmp_path / "new").symlink_to("two")
    os.replace(tmp_path / "new", tmp_path / "data")
    watch.look()
    watch.look()
    assert read == [True]


def test_broken_files_are_told_of_once_and_the_old_ones_stay(watched: Watched, lines: Any) -> None:
    watched.answer = ConfigError("ssl_keyfile", "is bad")
    watched.certfile.unlink()
    watched.look(5)
    assert watched.used == []
    assert lines() == [("ERROR", f"{BROKEN}{watched.answer}")]
    watched.certfile.write_text("another")
    watched.look(5)
    assert lines() == [("ERROR", f"{BROKEN}{watched.answer}")]
    watched.answer = watched.make()
    watched.keyfile.write_text("the key for it")
    watched.look(5)
    assert watched.used == [watched.answer]
    assert watched.read_count == 3


def test_file_that_may_be_read_now_is_a_change(watched: Watched) -> None:
    watched.answer = ConfigError("ssl_keyfile", "cannot be read: Permission denied")
    watched.keyfile.write_text("key number 2")
    watched.keyfile.chmod(0o600)
    watched.look(2)
    assert watched.read_count == 1
    watched.answer = watched.make()
    before = os.stat(watched.keyfile)
    while os.stat(watched.keyfile).st_ctime_ns == before.st_ctime_ns:
        # The clock of file systems is a coarse one.
        watched.keyfile.chmod(0o640)
    watched.look(2)
    assert watched.used == [watched.answer]


def test_what_could_not_be_used_is_tried_again_and_told_of_once(watched: Watched, lines: Any) -> None:
    watched.answer = ConfigError("ssl_keyfile", "cannot be read: Too many open files")
    watched.certfile.write_text("certificate number 2")
    watched.look(2)
    assert (watched.read_count, len(lines())) == (1, 1)
    watched.look(RETRY_LOOKS - 1)
    assert watched.read_count == 1
    watched.look()
    assert (watched.read_count, lines()) == (2, [])
    watched.answer = ConfigError("ssl_keyfile", "cannot be read: Input/output error")
    watched.look(RETRY_LOOKS)
    assert (watched.read_count, len(lines())) == (3, 1)
    watched.answer = watched.make()
    watched.look(RETRY_LOOKS)
    assert watched.used == [watched.answer]
    watched.look(2 * RETRY_LOOKS)
    assert watched.read_count == 4


def test_read_now_does_not_wait_for_a_change(watched: Watched, lines: Any) -> None:
    watched.answer = ConfigError("ssl_keyfile", "is bad")
    for _ in range(2):
        watched.watch.read_now()
        assert lines() == [("ERROR", f"{BROKEN}{watched.answer}")]
    watched.answer = watched.make([certificate(1)])
    watched.certfile.write_text("certificate number 2")
    watched.watch.read_now()
    assert watched.used == [watched.answer]
    assert [level for level, _ in lines()] == ["INFO", "WARNING"]
    watched.look(3)
    assert watched.read_count == 3, "the change was taken with it"


def test_read_now_leaves_a_context_that_somebody_has_made(lines: Any) -> None:
    made = TlsMaterial(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    read: list[bool] = []
    TlsWatch(made, lambda: read.append(True), print, 14).read_now()  # type: ignore[func-returns-value]
    assert not read
    assert lines() == [("INFO", "The certificates are not from files: there is nothing to read anew.")]


def test_nothing_to_use(watched: Watched, lines: Any) -> None:
    watched.certfile.write_text("certificate number 2")
    watched.look(3)
    assert watched.read_count == 1
    assert watched.used == []
    assert lines() == []


# ---- the calendar


@pytest.mark.parametrize(
    ("ends_in_days", "lifetime_days", "warning_days", "line"),
    [
        (13.5, 365.0, 14, "expires on 2027-01-28."),
        (14.5, 365.0, 14, None),
        (0.1, 365.0, 14, "expires on 2027-01-15."),
        (-0.1, 365.0, 14, "has expired on 2027-01-15."),
        (-400.0, 365.0, 14, "has expired on 2025-12-11."),
        # A certificate for six days: the last two.
        (2.1, 6.0, 14, None),
        (1.9, 6.0, 14, "expires on 2027-01-17."),
        (-1.0, 365.0, 0, None),
        (1.0, 365.0, 0, None),
    ],
)
def test_warning(
    tmp_path: Path, lines: Any, ends_in_days: float, lifetime_days: float, warning_days: int, line: str | None
) -> None:
    watched = Watched(tmp_path, warning_days, certificates=[certificate(ends_in_days, lifetime_days)])
    watched.look()
    expected = [] if line is None else [("WARNING", f"The certificate of a.example (/run/a.pem) {line}")]
    assert lines() == expected


def test_warning_once_a_day(tmp_path: Path, lines: Any) -> None:
    watched = Watched(tmp_path, certificates=[certificate(13), certificate(300, name="b.example")])
    days = []
    for hour in range(24 * 3):
        watched.epoch = NOW + hour * 3600
        watched.look()
        days += [hour] * len(lines())
    assert days == [0, 24, 48]


def test_warning_begins_within_a_day(tmp_path: Path, lines: Any) -> None:
    watched = Watched(tmp_path, certificates=[certificate(14.5)])
    watched.look()
    assert not lines()
    watched.epoch += DAY_S
    watched.look()
    assert len(lines()) == 1


def test_changed_certificate_is_looked_at_at_once(tmp_path: Path, lines: Any) -> None:
    watched = Watched(tmp_path, certificates=[certificate(1)])
    watched.look()
    lines()
    watched.answer = watched.make([certificate(2)])
    watched.certfile.write_text("certificate number 2")
    watched.look(2)
    assert [level for level, _ in lines()] == ["INFO", "WARNING"]


def test_certificate_of_tomorrow(tmp_path: Path, lines: Any) -> None:
    tomorrow = Certificate("/run/a.pem", "", frozenset(["a.example"]), NOW + DAY_S, NOW + 90 * DAY_S)
    watched = Watched(tmp_path, certificates=[tomorrow])
    watched.watch.start(watched.loop)
    watched.watch.stop()
    assert lines() == [("WARNING", "The certificate of a.example (/run/a.pem) is not valid before 2027-01-16.")]


def test_changed_certificate_of_tomorrow(tmp_path: Path, lines: Any) -> None:
    tomorrow = Certificate("/run/a.pem", "", frozenset(["a.example"]), NOW + DAY_S, NOW + 90 * DAY_S)
    for tells_expiry in (True, False):
        watched = Watched(tmp_path, tells_expiry=tells_expiry)
        watched.answer = watched.make([tomorrow])
        watched.certfile.write_text("certificate number 2")
        watched.look(2)
        warning = ("WARNING", "The certificate of a.example (/run/a.pem) is not valid before 2027-01-16.")
        assert [line for line in lines() if line[0] == "WARNING"] == [warning] * tells_expiry


def test_unknown_end(tmp_path: Path, lines: Any) -> None:
    unknown = Certificate("f", "", frozenset(["a.example"]))
    watched = Watched(tmp_path, certificates=[unknown])
    watched.watch.start(watched.loop)
    watched.answer = watched.make([unknown])
    watched.certfile.write_text("certificate number 2")
    watched.look(2)
    assert lines() == [("INFO", "Took the changed certificate of a.example, valid until an unknown day.")]


def test_one_process_of_several_tells(tmp_path: Path, lines: Any) -> None:
    watched = Watched(tmp_path, tells_expiry=False, certificates=[certificate(1)])
    watched.watch.start(watched.loop)
    watched.look()
    assert lines() == []


# ---- start and stop


def test_start_tells_until_when(tmp_path: Path, lines: Any) -> None:
    watched = Watched(tmp_path, certificates=[certificate(90.5), certificate(-3)])
    watched.watch.start(watched.loop)
    assert lines() == [
        ("INFO", "The certificate of a.example is valid until 2027-04-15, for 90 days."),
        ("WARNING", "The certificate of a.example (/run/a.pem) has expired on 2027-01-12."),
    ]


def test_it_looks_again_and_again_until_it_is_stopped(watched: Watched) -> None:
    watched.watch.stop()
    watched.watch.start(watched.loop)
    assert [timer.delay for timer in watched.loop.timers] == [LOOK_S]
    watched.certfile.write_text("certificate number 2")
    watched.loop.turn()
    watched.loop.turn()
    assert watched.read_count == 1
    assert len(watched.loop.timers) == 1
    watched.watch.stop()
    watched.watch.stop()
    assert watched.loop.timers[0].is_cancelled


def test_it_goes_on_after_a_failure(watched: Watched) -> None:
    watched.watch.start(watched.loop)
    watched.answer = MemoryError()
    watched.certfile.write_text("certificate number 2")
    watched.loop.turn()
    with pytest.raises(MemoryError):
        watched.loop.turn()
    assert len(watched.loop.timers) == 1
