"""Every event in every pair of states, against a table written down independently of the code."""

from __future__ import annotations

import itertools

import pytest

from addax.http1 import states as m
from addax.http1.machine import Machine, StateError

READING = (m.READ_IDLE, m.READ_BODY, m.READ_DONE, m.READ_CLOSED)
WRITING = (m.WRITE_IDLE, m.WRITE_BODY, m.WRITE_DONE, m.WRITE_CLOSED)

# event → {(reading, writing) it may come in: (reading, writing) afterwards}; None stands for any and for unchanged.
TRANSITIONS = {
    "head_read_with_body": {(m.READ_IDLE, m.WRITE_IDLE): (m.READ_BODY, None)},
    "head_read_without_body": {(m.READ_IDLE, m.WRITE_IDLE): (m.READ_DONE, None)},
    "request_read": {(m.READ_BODY, None): (m.READ_DONE, None), (m.READ_DONE, None): (m.READ_DONE, None)},
    "head_written": {(None, m.WRITE_IDLE): (None, m.WRITE_BODY)},
    "response_written": {(None, m.WRITE_BODY): (None, m.WRITE_DONE)},
    "whole_response_written": {(None, m.WRITE_IDLE): (None, m.WRITE_DONE)},
    "stop_reading": {(None, None): (m.READ_CLOSED, None)},
    "stop_writing": {(None, None): (None, m.WRITE_CLOSED)},
    "take_next": {
        (m.READ_DONE, m.WRITE_DONE): (m.READ_IDLE, m.WRITE_IDLE),
        (None, None): (None, None),
    },
}


def fire(machine: Machine, event: str) -> None:
    if event == "head_read_with_body":
        machine.head_read(True, True)
    elif event == "head_read_without_body":
        machine.head_read(False, True)
    else:
        getattr(machine, event)()


def expected(event: str, reading: int, writing: int) -> tuple[int, int] | None:
    for (wanted_reading, wanted_writing), (new_reading, new_writing) in TRANSITIONS[event].items():
        if wanted_reading in (None, reading) and wanted_writing in (None, writing):
            return (
                reading if new_reading is None else new_reading,
                writing if new_writing is None else new_writing,
            )
    return None


@pytest.mark.parametrize(
    ("event", "reading", "writing"), list(itertools.product(TRANSITIONS, READING, WRITING)), ids=str
)
def test_every_event_in_every_state(event: str, reading: int, writing: int):
    machine = Machine()
    machine.reading, machine.writing = reading, writing
    after = expected(event, reading, writing)
    if after is None:
        with pytest.raises(StateError):
            fire(machine, event)
        assert (machine.reading, machine.writing) == (reading, writing)
    else:
        fire(machine, event)
        assert (machine.reading, machine.writing) == after


def test_reuse_is_never_allowed_again():
    machine = Machine()
    machine.head_read(False, False)
    machine.whole_response_written()
    assert not machine.can_take_next()
    assert machine.take_next() is False


@pytest.mark.parametrize("event", ["stop_reading", "stop_writing", "forbid_reuse"])
def test_these_events_end_the_persistence(event: str):
    machine = Machine()
    getattr(machine, event)()
    assert machine.keep_alive is False


def test_an_error_can_be_told_until_the_head_is_on_the_wire():
    machine = Machine()
    assert machine.is_idle()
    assert machine.can_answer()
    machine.head_read(True, True)
    assert machine.can_answer()
    assert not machine.is_idle()
    machine.head_written()
    assert not machine.can_answer()
