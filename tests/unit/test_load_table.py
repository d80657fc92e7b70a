"""Who has how many connections, told from one process to another."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from addax.core.load_table import NUMBER_MAX, LoadTable, create_table


@pytest.fixture
def fd() -> Iterator[int]:
    fd = create_table()
    yield fd
    os.close(fd)


def test_workers_see_each_other(fd: int) -> None:
    first, second = LoadTable(fd), LoadTable(fd)
    assert first.others(1) == []
    first.note(1, 0)
    second.note(2, 7)
    second.note(9, 3)
    assert first.others(1) == [7, 3]
    assert second.others(2) == [0, 3]
    first.forget(2)
    assert first.others(1) == [3]
    first.close()
    second.close()


def test_workers_beyond_the_table_are_left_out(fd: int) -> None:
    table = LoadTable(fd)
    table.note(NUMBER_MAX, 1)
    table.note(NUMBER_MAX + 1, 1)
    table.forget(NUMBER_MAX + 1)
    assert table.others(1) == [1]
    assert table.others(NUMBER_MAX) == []
    table.close()


def test_memory_is_not_inherited_by_programs(fd: int) -> None:
    assert not os.get_inheritable(fd)


def test_without_memfd_a_file_without_a_name_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    fd = create_table()
    table = LoadTable(fd)
    table.note(1, 4)
    assert table.others(2) == [4]
    assert os.fstat(fd).st_nlink == 0
    table.close()
    os.close(fd)
