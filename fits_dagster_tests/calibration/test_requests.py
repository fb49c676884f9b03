"""Targets that a request describes are answered as if they were in the archive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from fits_dagster.calibration.requests import RequestError, answer_request, target_of

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
def archive(connection: Connection, archive_class: Any) -> Any:
    return archive_class(connection)


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


def test_a_section_is_told_in_many_ways(connection: Connection, archive_class: Any) -> None:
    archive = archive_class(connection)
    row = {"data_section": "[1:1024,1:512]", "read_mode": "High", "well_depth_setting": "Deep"}
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
