"""An empty answer is explained: which candidates came nearest, and what each of them misses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from fits_dagster.calibration.explain import Explanation, explain
from fits_dagster_tests.builders.versions import Archive

UT = datetime(2019, 6, 1, 4, tzinfo=UTC)
RECORD: dict[str, Any] = {
    "instrument": "NIFS",
    "engineering": False,
    "qa_state": "Pass",
    "processing": "Raw",
    "reduction": "RAW",
    "spectroscopy": True,
    "central_wavelength": "2.2",
    "types": ["SPECT"],
    "ut_datetime": UT,
}
ROW = {"disperser": "K_G5605", "filter_name": "HK", "focal_plane_mask": "3.0"}


@pytest.fixture
def archive(connection: Connection) -> Any:
    archive = Archive(connection)
    science = RECORD | {"observation_type": "OBJECT", "observation_class": "science"}
    archive.arrive("target.fits", science, "nifs", [ROW])
    return archive


def arc(archive: Any, name: str, changes: dict[str, Any], row: dict[str, Any] | None = None) -> None:
    archive.arrive(name, RECORD | {"observation_type": "ARC"} | changes, "nifs", [ROW | (row or {})])


def told(explanation: Explanation) -> dict[str, list[str]]:
    return {each.name: [str(miss) for miss in each.misses] for each in explanation.nearest}


def test_the_chosen_are_told_with_what_they_share_and_how_far_they_are(archive: Any) -> None:
    arc(archive, "arc.fits", {"ut_datetime": UT - timedelta(minutes=2)})
    found = explain(archive.connection, "target", "arc")
    assert found.applicable
    assert found.key == {"disperser": ("K_G5605",), "focal_plane_mask": ("3.0",), "filter_name": ("HK",)}
    assert [(each.name, each.seconds) for each in found.chosen] == [("arc.fits", -120.0)]
    assert found.nearest == ()


def test_who_is_nearer_than_a_chosen_one_is_told_with_what_it_misses(archive: Any) -> None:
    arc(archive, "arc.fits", {"ut_datetime": UT - timedelta(days=2)})
    arc(archive, "nearer.fits", {}, {"filter_name": "JH"})
    arc(archive, "farther.fits", {"ut_datetime": UT + timedelta(days=3)}, {"filter_name": "JH"})
    found = explain(archive.connection, "target", "arc")
    assert [each.name for each in found.chosen] == ["arc.fits"]
    assert told(found) == {"nearer.fits": ["filter_name: wanted HK, found JH"]}


def test_near_misses_are_told_fewest_first_with_how_much_is_lacking(archive: Any) -> None:
    arc(archive, "late.fits", {"ut_datetime": UT + timedelta(days=366)})
    arc(archive, "shifted.fits", {"central_wavelength": "2.2015"})
    arc(archive, "other.fits", {"engineering": True}, {"disperser": "J_G5603", "filter_name": None})
    found = explain(archive.connection, "target", "arc")
    assert found.chosen == ()
    assert told(found) == {
        "shifted.fits": ["central_wavelength: wanted 2.2 ± 0.001, found 2.2015 (0.0005 too much)"],
        "late.fits": ["time: wanted within 365 days, 0:00:00, found 366 days, 0:00:00 (1 day, 0:00:00 more)"],
        "other.fits": [
            "disperser: wanted K_G5605, found J_G5603",
            "filter_name: wanted HK, found nothing",
            "engineering: wanted false, found True",
        ],
    }
    assert list(told(found)) == ["shifted.fits", "late.fits", "other.fits"]


def test_a_mask_of_bad_pixels_that_came_later_is_told_as_late(archive: Any) -> None:
    mask = {"observation_type": "BPM", "reduction": "PROCESSED_BPM", "ut_datetime": UT + timedelta(hours=1)}
    arc(archive, "mask.fits", mask)
    [reason] = told(explain(archive.connection, "target", "processed_bpm"))["mask.fits"]
    assert reason.startswith("time: wanted until 2019-06-01 04:00:00")


@pytest.mark.parametrize(
    ("caltype", "remark"),
    [
        ("arc", "no file of that kind and state is known"),
        ("bias", "there is no rule for bias of NIFS"),
    ],
)
def test_silence_has_a_reason(archive: Any, caltype: str, remark: str) -> None:
    assert explain(archive.connection, "target", caltype).remark == remark


def test_a_file_that_failed_asks_for_nothing(archive: Any) -> None:
    arc(archive, "failed.fits", {"qa_state": "Fail"})
    assert "failed its quality assessment" in explain(archive.connection, "failed", "processed_bpm").remark
    with pytest.raises(LookupError):
        explain(archive.connection, "nothing", "arc")
