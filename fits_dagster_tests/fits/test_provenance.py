"""Provenance tables give rows; damaged ones give problems, never an exception."""

from __future__ import annotations

import bz2
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from fits_dagster.fits.provenance import Provenance, ProvenanceInput, ReductionStep, read_provenance
from fits_dagster.fits.reading import read_headers

INPUTS = ("timestamp", "filename", "md5", "provenance_added_by")
STEPS = ("timestamp_start", "timestamp_stop", "primitive", "args")


def table(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> fits.BinTableHDU:
    made = [
        fits.Column(name=column, format="64A", array=np.array([row[i] for row in rows], dtype="U64"))
        for i, column in enumerate(columns)
    ]
    return fits.BinTableHDU.from_columns(made, name=name)


def read(path: Path) -> Provenance:
    return read_provenance(path, read_headers(path))


def written(tmp_path: Path, *hdus: fits.BinTableHDU) -> Path:
    path = tmp_path / "N20240101S0001_flat.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((4, 4)), name="SCI"), *hdus]).writeto(path)
    return path


@pytest.mark.parametrize("name", ["HISTORY", "PROVHISTORY"])
def test_inputs_and_steps_are_read_with_both_forms_of_time(tmp_path, name):
    inputs = [
        ("2023-05-01T10:11:12.500000", "N20230501S0001.fits", "ab" * 16, "addDQ"),
        ("2023-05-01 10:11:13", "N20230501S0002.fits", "", ""),
    ]
    steps = [("2023-05-01 10:00:00.25", "2023-05-01T10:00:01", "prepare", '{"suffix": "_prepared"}')]
    path = written(tmp_path, table("PROVENANCE", INPUTS, inputs), table(name, STEPS, steps))
    expected = Provenance(
        inputs=(
            ProvenanceInput(
                datetime(2023, 5, 1, 10, 11, 12, 500000, UTC), "N20230501S0001.fits", "ab" * 16, "addDQ"
            ),
            ProvenanceInput(datetime(2023, 5, 1, 10, 11, 13, 0, UTC), "N20230501S0002.fits", None, None),
        ),
        steps=(
            ReductionStep(
                datetime(2023, 5, 1, 10, 0, 0, 250000, UTC),
                datetime(2023, 5, 1, 10, 0, 1, 0, UTC),
                "prepare",
                '{"suffix": "_prepared"}',
            ),
        ),
    )
    assert read(path) == expected
    packed = path.with_name(f"{path.name}.bz2")
    packed.write_bytes(bz2.compress(path.read_bytes()))
    assert read(packed) == expected


def test_a_bad_entry_costs_that_entry_only(tmp_path):
    rows = [
        ("some day", "a.fits", "", ""),
        ("2023-05-01 10:11:13", "", "", ""),
        ("2023-05-01 10:11:13", "c.fits", "", ""),
    ]
    found = read(written(tmp_path, table("PROVENANCE", INPUTS, rows)))
    assert [row.filename for row in found.inputs] == ["a.fits", "c.fits"]
    assert found.inputs[0].timestamp is None
    assert found.problems == (
        "PROVENANCE row 1: timestamp 'some day' is no time",
        "PROVENANCE row 2: no filename",
    )


def test_missing_columns_and_foreign_types_do_no_harm(tmp_path):
    odd = fits.BinTableHDU.from_columns(
        [
            fits.Column(name="PRIMITIVE", format="J", array=[1, 2]),
            fits.Column(name="extra", format="D", array=[0.5, 1.5]),
        ],
        name="HISTORY",
    )
    found = read(written(tmp_path, odd))
    assert [step.primitive for step in found.steps] == ["1", "2"]
    assert found.steps[0].timestamp_start is None and found.steps[0].args is None


def test_a_damaged_table_is_a_problem(tmp_path):
    path = written(tmp_path, table("PROVENANCE", INPUTS, [("2023-05-01 10:11:13", "a.fits", "", "")]))
    path.write_bytes(path.read_bytes().replace(b"'64A     '", b"'6Q@     '"))
    found = read(path)
    assert found.inputs == ()
    assert len(found.problems) == 1 and found.problems[0].startswith("PROVENANCE: ")


def test_a_file_without_such_tables_is_not_even_opened(tmp_path, monkeypatch):
    path = written(tmp_path)
    hdus = read_headers(path)
    monkeypatch.setitem(sys.modules, "astropy.io", None)
    assert read_provenance(tmp_path / "gone.fits", hdus) == Provenance()


def test_an_image_of_that_name_is_no_table(tmp_path):
    path = tmp_path / "a.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros(3), name="HISTORY")]).writeto(path)
    assert read(path) == Provenance()
