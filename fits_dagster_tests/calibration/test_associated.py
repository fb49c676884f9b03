"""Associated calibrations: level by level, each file once, whatever circles the needs make."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from fits_dagster.calibration.lookup import MOST_LEVELS, AssociatedCalibration, associated_calibrations
from fits_dagster_tests.builders.versions import Archive


@pytest.fixture
def files(connection: Connection) -> dict[str, int]:
    """Ten headers, called ``0`` to ``9``; nothing is associated."""
    archive = Archive(connection)
    record = {"instrument": "NIFS", "ut_datetime": datetime(2019, 6, 1, tzinfo=UTC), "qa_state": "Pass"}
    return {str(number): archive.insert(f"{number}.fits", record) for number in range(10)}


def answer(connection: Connection, files: dict[str, int], target: str, caltype: str, names: str) -> None:
    """Let the calibrations of a type be those, each a letter, best first."""
    connection.execute(
        text("insert into calibration_answer values (:header, :caltype, :ids)"),
        {"header": files[target], "caltype": caltype, "ids": [files[each] for each in names]},
    )


def told(found: Sequence[AssociatedCalibration]) -> list[tuple[str, str, int, int]]:
    return [(each.name.removesuffix(".fits"), each.caltype, each.rank, each.level) for each in found]


def test_a_level_is_in_order_of_type_then_rank_and_tells_each_file_once(
    connection: Connection, files: dict[str, int]
) -> None:
    answer(connection, files, "0", "arc", "345")
    answer(connection, files, "0", "flat", "6")
    # 5 serves for a type that comes earlier, 3 has a better rank elsewhere
    answer(connection, files, "1", "dark", "75")
    answer(connection, files, "1", "arc", "43")
    found = associated_calibrations(connection, [files["0"], files["1"]])
    assert told(found) == [
        ("7", "dark", 0, 0),
        ("5", "dark", 1, 0),
        ("6", "flat", 0, 0),
        ("4", "arc", 0, 0),
        ("3", "arc", 0, 0),
    ]
    assert all(each.is_primary for each in found)


def test_calibrations_of_calibrations_follow_to_the_fourth_further_level(
    connection: Connection, files: dict[str, int]
) -> None:
    for number in range(9):
        answer(connection, files, str(number), "arc", str(number + 1))
    found = associated_calibrations(connection, [files["0"]])
    assert told(found) == [(str(level + 1), "arc", 0, level) for level in range(MOST_LEVELS)]
    assert [each.is_primary for each in found] == [True, False, False, False, False]
    assert len(associated_calibrations(connection, [files["0"]], levels=2)) == 2
    assert len(associated_calibrations(connection, [files["0"]], levels=99)) == MOST_LEVELS


def test_circles_end_with_one_query_a_level(connection: Connection, files: dict[str, int]) -> None:
    # a bias of itself, and flat and arc of each other
    answer(connection, files, "0", "bias", "12")
    answer(connection, files, "1", "bias", "1")
    answer(connection, files, "2", "flat", "3")
    answer(connection, files, "3", "arc", "20")
    statements: list[str] = []

    def count(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(statement)

    event.listen(connection, "before_cursor_execute", count)
    found = associated_calibrations(connection, [files["0"]])
    # the file itself is told where it serves as a calibration
    assert told(found) == [("1", "bias", 0, 0), ("2", "bias", 1, 0), ("3", "flat", 0, 1), ("0", "arc", 1, 2)]
    assert len(statements) == 4


def test_a_type_is_told_without_further_levels(connection: Connection, files: dict[str, int]) -> None:
    answer(connection, files, "0", "arc", "12")
    answer(connection, files, "0", "flat", "3")
    answer(connection, files, "1", "arc", "4")
    assert told(associated_calibrations(connection, [files["0"]], caltype="arc")) == [
        ("1", "arc", 0, 0),
        ("2", "arc", 1, 0),
    ]
    assert associated_calibrations(connection, []) == []
