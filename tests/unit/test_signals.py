"""``server.signals``: which signals are taken, and that they are given back and raised again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from addax.server import signals

HAS_HANGUP = hasattr(signal, "SIGHUP")
ALL = [*signals.HANDLED_SIGNALS] + [signal.SIGHUP] * HAS_HANGUP


class Recorder:
    """A signal handler that notes what it got."""

    def __init__(self) -> None:
        self.got: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.got.append(number)


@pytest.fixture
def outer() -> Iterator[Recorder]:
    """The handler of a program around the server, for every signal but SIGHUP, which nobody has touched."""
    recorder = Recorder()
    before = {number: signal.signal(number, recorder) for number in signals.HANDLED_SIGNALS}
    before.update({number: signal.signal(number, signal.SIG_DFL) for number in ALL if number not in before})
    yield recorder
    for number, handler in before.items():
        signal.signal(number, handler)


def noting_handler(captured: list[int]) -> Any:
    return lambda number, frame: captured.append(number)


def test_handled_signals_are_those_that_embedders_know() -> None:
    assert signals.HANDLED_SIGNALS[:2] == (signal.SIGINT, signal.SIGTERM)


def test_signals_to_capture_has_sighup_only_while_nobody_has_decided_about_it(outer: Recorder) -> None:
    assert signals.signals_to_capture() == ALL
    if HAS_HANGUP:
        for decided in (signal.SIG_IGN, outer):
            signal.signal(signal.SIGHUP, decided)
            assert signals.signals_to_capture() == [*signals.HANDLED_SIGNALS]


def test_signals_to_capture_on_a_platform_without_sighup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "SIGHUP", raising=False)
    assert signals.signals_to_capture() == [*signals.HANDLED_SIGNALS]


def test_capture_puts_the_old_handlers_back(outer: Recorder) -> None:
    before = {number: signal.getsignal(number) for number in ALL}
    captured: list[int] = []
    handler = noting_handler(captured)
    with signals.capture(handler, captured):
        assert all(signal.getsignal(number) is handler for number in ALL)
    assert {number: signal.getsignal(number) for number in ALL} == before
    assert outer.got == []


def test_capture_raises_again_what_was_captured_latest_first(outer: Recorder) -> None:
    captured: list[int] = []
    with signals.capture(noting_handler(captured), captured):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert outer.got == []
    assert outer.got == [signal.SIGTERM, signal.SIGINT]
    assert captured == []


def test_capture_raises_again_also_when_the_block_failed(outer: Recorder) -> None:
    def block() -> None:
        captured: list[int] = []
        with signals.capture(noting_handler(captured), captured):
            signal.raise_signal(signal.SIGTERM)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    assert outer.got == [signal.SIGTERM]


def test_capture_replaces_a_foreign_handler_by_the_default_at_the_end(
    outer: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = signal.signal
    # A handler that C code has set shows as None.
    monkeypatch.setattr(signal, "signal", lambda number, handler: real(number, handler) and None)
    captured: list[int] = []
    with signals.capture(noting_handler(captured), captured):
        pass
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_capture_outside_the_main_thread_does_nothing(outer: Recorder) -> None:
    seen: list[Any] = []

    def block() -> None:
        with signals.capture(noting_handler([]), []):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert seen == [outer]


@pytest.mark.skipif(not HAS_HANGUP, reason="this platform has no SIGHUP")
def test_hangup_may_be_for_somebody_else(outer: Recorder) -> None:
    captured: list[int] = []
    answers = [True, False]
    # At the end it is raised again, and would end this process.
    with signals.capture(noting_handler(captured), captured, lambda: answers.pop(0)):
        signal.raise_signal(signal.SIGHUP)
        assert captured == []
        signal.raise_signal(signal.SIGHUP)
        assert captured == [signal.SIGHUP]
        captured.clear()
        signal.raise_signal(signal.SIGTERM)
        assert captured == [signal.SIGTERM]
    assert outer.got == [signal.SIGTERM]


@pytest.mark.skipif(not HAS_HANGUP, reason="this platform has no SIGHUP")
def test_hangup_that_somebody_has_decided_about_is_not_asked_for(outer: Recorder) -> None:
    signal.signal(signal.SIGHUP, outer)
    with signals.capture(noting_handler([]), [], lambda: pytest.fail("asked")):
        signal.raise_signal(signal.SIGHUP)
    assert outer.got == [signal.SIGHUP]
