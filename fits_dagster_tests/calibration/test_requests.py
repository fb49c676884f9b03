"""Targets that a request describes are answered as if they were in the archive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from fits_dagster.calibration.requests import RequestError, answer_request, target_of
from fits_dagster_tests.builders.versions import Archive

UT = datetime(2019, 6, 1, 4, tzinfo=UTC)
RECORD: dict[str, Any] = {
    "instrument": "GHOST",
    "engineering": False,
    "qa_state": "Pass",
    "processing": "Raw",
    "reduction": "RAW",
    "spectroscopy": True,
    "focal_plane_mask": "SR",
    "types": ["SPECT"],
}
ARM: dict[str, Any] = {
    "arm": "blue",
    "focal_plane_mask": "SR",
    "detector_x_bin": 1,
    "detector_y_bin": 2,
    "read_speed_setting": "slow",
    "gain_setting": "low",
    "overscan_subtracted": False,
    "overscan_trimmed": False,
}
POSTED: dict[str, Any] = {
    "data_label": "GS-2019A-Q-1-1-1",
    "ut_datetime": "2019-06-01T04:00:00",
    "instrument": "GHOST",
    "focal_plane_mask": "SR",
    "want_before_arc": None,
    "exposure_time": 60.0,
    **ARM,
}


@pytest.fixture
def archive(connection: Connection) -> Any:
    return Archive(connection)


def answer(archive: Any, caltype: str, changes: dict[str, Any], tags: tuple[str, ...] = ("SPECT",)) -> Any:
    found = answer_request(archive.connection, POSTED | changes, tags, caltype)
    return None if found is None else [archive.names[each].removesuffix(".fits") for each in found]


def arrive(
    archive: Any, name: str, changes: dict[str, Any], rows: list[dict[str, Any]] | None = None
) -> None:
    archive.arrive(f"{name}.fits", RECORD | {"ut_datetime": UT} | changes, "ghost", rows or [ARM])


@pytest.mark.parametrize(
    ("want_before_arc", "names"),
    [(None, ["after", "before"]), (True, ["before"]), (False, ["after"])],
)
def test_arcs_of_a_split_file_lie_on_the_side_that_it_wants(
    archive: Any, want_before_arc: bool | None, names: list[str]
) -> None:
    for name, minutes in (("long_before", -90), ("before", -9), ("after", 5), ("long_after", 50)):
        moment = {"ut_datetime": UT + timedelta(minutes=minutes), "observation_type": "ARC"}
        arrive(archive, name, moment)
    assert answer(archive, "arc", {"want_before_arc": want_before_arc}) == names


def test_a_bundle_is_split_by_arm(archive: Any) -> None:
    for arm in ("blue", "red"):
        arrive(archive, f"bias_{arm}", {"observation_type": "BIAS"}, [ARM | {"arm": arm}])
    by_arm = {name: {"blue": value, "red": value} for name, value in ARM.items() if name != "arm"}
    bundle = by_arm | {"arm": None, "exposure_time": {"blue": 1.0, "red": 2.0}, "focal_plane_mask": "SR"}
    # at the same rank the latest ingested of the first arm comes first
    assert answer(archive, "bias", bundle) == ["bias_blue", "bias_red"]


def test_a_prepared_file_takes_a_bias_in_its_own_state_of_overscan(archive: Any) -> None:
    reduced = {"observation_type": "BIAS", "reduction": "PROCESSED_BIAS"}
    arrive(archive, "plain", reduced)
    trimmed = ARM | {"overscan_trimmed": True, "overscan_subtracted": True}
    arrive(archive, "trimmed", reduced | {"ut_datetime": UT + timedelta(days=3)}, [trimmed])
    assert answer(archive, "processed_bias", {}) == ["plain"]
    tags = ("SPECT", "PREPARED", "OVERSCAN_TRIMMED", "OVERSCAN_SUBTRACTED")
    assert answer(archive, "processed_bias", {}, tags) == ["trimmed"]


def test_a_section_is_told_in_many_ways(connection: Connection) -> None:
    archive = Archive(connection)
    row = {"data_section": "[1:1024,1:512]", "read_mode": "Low Background", "well_depth_setting": "Deep"}
    record = RECORD | {"instrument": "NIRI", "observation_type": "DARK", "coadds": 2, "exposure_time": "30"}
    archive.arrive("dark.fits", record | {"ut_datetime": UT}, "niri", [row])
    described = {
        **{"data_label": "x", "instrument": "NIRI", "ut_datetime": "2019-06-01T04:00:00Z", "coadds": 2.0},
        **{
            "observation_type": "OBJECT",
            "observation_class": "science",
            "exposure_time": 30,
            "gcal_lamp": None,
        },
        **row,
    }
    for section in (
        [0, 1024, 0, 512],
        "[0, 1024, 0, 512]",
        "(0,1024,0,512)",
        "Section(x1=0, x2=1024, y1=0, y2=512)",
        "[1:1024,1:512]",
    ):
        descriptors = described | {"data_section": section, "filter_name": "J"}
        assert answer_request(connection, descriptors, [], "dark"), section
    assert (
        answer_request(connection, described | {"data_section": None, "filter_name": "J"}, [], "dark") == []
    )


def test_what_the_applicable_types_depend_on_must_be_told() -> None:
    with pytest.raises(RequestError, match="observation_type"):
        target_of({"data_label": "x", "instrument": "NIRI", "ut_datetime": UT}, [])
    with pytest.raises(RequestError, match="no time"):
        target_of({"data_label": "x", "instrument": "NIRI", "ut_datetime": "yesterday"}, [])


NIRI: dict[str, Any] = {
    **{"data_label": "x", "instrument": "NIRI", "ut_datetime": "2019-06-01T04:00:00", "coadds": 1},
    **{
        "observation_type": "OBJECT",
        "observation_class": "science",
        "gcal_lamp": None,
        "exposure_time": 30.0,
    },
    **{"filter_name": "J_G0202", "camera": "f6", "focal_plane_mask": "f6-cam_G5208", "disperser": "MIRROR"},
    **{
        "central_wavelength": None,
        "data_section": [0, 1024, 0, 1024],
        "read_mode": "Low Background",
        "well_depth_setting": "Shallow",
    },
}
GHOST = POSTED | {"observation_type": "OBJECT"}
GMOS: dict[str, Any] = {
    **{"data_label": "x", "instrument": "GMOS-N", "ut_datetime": "2019-06-01T04:00:00", "object": "M31"},
    **{"observation_type": "OBJECT", "observation_class": "science", "detector_roi_setting": "Full Frame"},
    **{"amp_read_area": "a", "read_speed_setting": "slow", "gain_setting": "low", "focal_plane_mask": "None"},
    **{
        "detector_x_bin": 1,
        "detector_y_bin": 1,
        "exposure_time": 30.0,
        "nod_count": None,
        "nod_pixels": None,
    },
    **{"central_wavelength": 0.6, "elevation": 60.0, "disperser": "MIRROR", "array_name": "a"},
}


@pytest.mark.parametrize(
    ("described", "changes", "fails", "answered"),
    [
        # words that the column does not have
        (NIRI, {"read_mode": "Turbo"}, "dark", "flat"),
        (NIRI, {"camera": "f7"}, "flat", "dark"),
        (NIRI, {"well_depth_setting": 5}, "dark", "arc"),
        (GMOS, {"gain_setting": "medium"}, "bias", "mask"),
        (GMOS, {"read_speed_setting": "SLOW"}, "processed_bias", "mask"),
        (GHOST, {"arm": "green"}, "bias", "ronchi_mask"),
        (GHOST, {"observation_type": "SCIENCE"}, "processed_slit", "bias"),
        # numbers that are none, and texts that are none
        (NIRI, {"exposure_time": "long"}, "dark", "flat"),
        (NIRI, {"exposure_time": "30"}, "dark", "flat"),
        (NIRI, {"coadds": "two"}, "dark", "flat"),
        (NIRI, {"coadds": True}, "dark", "flat"),
        (NIRI, {"filter_name": ["J", "H"]}, "flat", "dark"),
        (NIRI, {"focal_plane_mask": False}, "flat", "dark"),
        (GMOS, {"detector_x_bin": "1x1"}, "bias", "mask"),
        (GMOS, {"amp_read_area": {"a": 1}}, "bias", "mask"),
        # what differs between the two nods
        (GMOS, {"nod_count": "15+14"}, "dark", "bias"),
    ],
)
def test_a_value_that_no_file_can_have_is_an_error_for_the_types_that_need_it(
    archive: Any, described: dict[str, Any], changes: dict[str, Any], fails: str, answered: str
) -> None:
    assert answer_request(archive.connection, described, [], fails) == []
    assert answer_request(archive.connection, described | changes, [], fails) is None
    assert answer_request(archive.connection, described | changes, [], answered) == []


@pytest.mark.parametrize(
    ("described", "changes", "caltype"),
    [
        # nothing is known of it: only files of which nothing is known match
        (NIRI, {"read_mode": None, "well_depth_setting": None, "exposure_time": None}, "dark"),
        # a number for a text is written as one, and numbers are numbers
        (NIRI, {"filter_name": 3}, "flat"),
        (NIRI, {"coadds": 1.5}, "dark"),
        (NIRI, {"exposure_time": 10**400}, "flat"),
        # sections are not words
        (NIRI, {"data_section": [0, 300, 0, 300]}, "dark"),
        # the time is needed by rules that look for something
        (NIRI, {"ut_datetime": None}, "processed_telluric"),
    ],
)
def test_what_merely_matches_nothing_is_no_error(
    archive: Any, described: dict[str, Any], changes: dict[str, Any], caltype: str
) -> None:
    assert answer_request(archive.connection, described | changes, [], caltype) == []


def test_without_a_time_what_looks_for_something_fails(archive: Any) -> None:
    assert answer_request(archive.connection, NIRI | {"ut_datetime": None}, [], "dark") is None


def test_a_label_is_a_text() -> None:
    with pytest.raises(RequestError, match="data_label"):
        target_of(NIRI | {"data_label": 7}, [])
