"""How soon a worker that died is replaced."""

from __future__ import annotations

from addax.supervise.backoff import LOOP_COUNT, STABLE_S, Backoff


def test_first_death_is_answered_at_once_and_young_ones_ever_later() -> None:
    backoff = Backoff()
    assert [backoff.died(0.0) for _ in range(5)] == [0.0, 0.25, 0.5, 1.0, 2.0]
    assert [backoff.died(0.0) for _ in range(20)][-1] == 30.0


def test_worker_that_has_lived_is_not_counted() -> None:
    backoff = Backoff()
    backoff.died(0.0)
    backoff.died(0.0)
    assert backoff.died(STABLE_S) == 0.0
    assert backoff.young_deaths_count == 0
    assert backoff.died(0.0) == 0.0


def test_deaths_by_requests_are_not_a_loop() -> None:
    backoff = Backoff()
    assert [backoff.died(0.0, was_serving=True) for _ in range(3 * LOOP_COUNT)][-1] == 30.0
    assert not backoff.is_looping


def test_loop_is_told_after_some_young_deaths() -> None:
    backoff = Backoff()
    for _ in range(LOOP_COUNT - 1):
        backoff.died(1.0)
    assert not backoff.is_looping
    backoff.died(1.0)
    assert backoff.is_looping
