"""What operators look at: the needs that are shown, what is far, and when an arc is to be taken now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from fits_dagster.calibration import associate_headers
from fits_dagster.calibration.coverage import TargetNeeds, calibration_needs
from fits_dagster_tests.builders.versions import Archive

UT = datetime(2019, 6, 1, 4, tzinfo=UTC)
SPECTRUM: dict[str, Any] = {
    **{"instrument": "GMOS-N", "engineering": False, "qa_state": "Pass", "processing": "Raw"},
    **{"reduction": "RAW", "spectroscopy": True, "observation_class": "science", "ut_datetime": UT},
    **{"observation_type": "OBJECT", "central_wavelength": "0.600", "types": ["SPECT", "LS"]},
    **{"detector_roi_setting": "Full Frame", "elevation": "60", "exposure_time": "30", "object": "M31"},
}
ROW = {"disperser": "R400_G5305", "filter_name": "open", "focal_plane_mask": "1.0arcsec"}
IMAGE = {"spectroscopy": False, "central_wavelength": None, "types": ["IMAGE"]}


def needs(
    connection: Connection, target: dict[str, Any], row: dict[str, Any], arc_hours: float
) -> TargetNeeds | None:
    """Bring a target and an arc so many hours from it; returns what is shown of the target."""
    archive = Archive(connection)
    header, _ = archive.arrive("target.fits", SPECTRUM | target, "gmos", [ROW | row])
    arc = SPECTRUM | {"observation_type": "ARC", "ut_datetime": UT + timedelta(hours=arc_hours)}
    archive.arrive("arc.fits", arc, "gmos", [ROW])
    associate_headers(connection, [header])
    return next(iter(calibration_needs(connection, [header])), None)


@pytest.mark.parametrize(
    ("target", "row", "shown"),
    [
        ({}, {}, ["arc", "bias", "flat"]),
        ({"observation_class": "dayCal"}, {}, ["bias", "flat"]),
        ({"observation_type": "FLAT", "observation_class": "partnerCal"}, {}, ["arc", "bias"]),
        (IMAGE, {"focal_plane_mask": "Imaging"}, ["bias"]),
        ({}, {"nodandshuffle": True}, ["arc", "dark", "bias", "flat"]),
        (IMAGE, {"nodandshuffle": True, "focal_plane_mask": "focus_array_new"}, ["bias"]),
        ({"observation_type": "BPM"}, {}, []),
        ({"ut_datetime": None}, {}, []),
    ],
)
def test_raw_types_are_shown_that_operators_care_for(
    connection: Connection, target: dict[str, Any], row: dict[str, Any], shown: list[str]
) -> None:
    found = needs(connection, target, row, 1.0)
    assert [need.caltype for need in found.needs] == shown if found else not shown


@pytest.mark.parametrize(
    ("arc_hours", "hours_since", "far", "take_now"),
    [
        (-1.0, 5.0, False, False),
        (-6.0, 5.0, False, True),
        (23.9, 60.0, False, False),
        (24.1, 60.0, True, False),
        # out of the window: there is none
        (24.0 * 366, 5.0, None, True),
    ],
)
def test_a_far_arc_is_a_warning_and_one_is_taken_if_it_would_be_nearer(
    connection: Connection,
    arc_hours: float,
    hours_since: float,
    far: bool | None,
    take_now: bool,
) -> None:
    found = needs(connection, {}, {}, arc_hours)
    assert found is not None
    arc = found.needs[0]
    assert [arc.is_far(seconds) for _, seconds in arc.found] == ([] if far is None else [far])
    assert arc.is_missing == (far is None)
    assert found.take_now(UT + timedelta(hours=hours_since)) == take_now


def test_darks_of_gmos_may_be_older(connection: Connection) -> None:
    found = needs(connection, {}, {"nodandshuffle": True}, 1.0)
    assert found is not None
    assert {need.caltype: need.far_hours for need in found.needs} == {
        **{"arc": 24.0, "dark": 4320.0},
        **{"bias": None, "flat": None},
    }
    # nothing but an arc can be taken at night
    without = needs(connection, {"observation_class": "dayCal"}, {}, 1.0)
    assert without is not None
    assert not without.take_now(UT)
