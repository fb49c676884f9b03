"""The rule files: they follow the schema, and each oddity of a rule does what its comment says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import Connection

from fits_dagster.calibration import CALTYPES, associate_headers
from fits_dagster.calibration.conditions import Condition, Facts
from fits_dagster.calibration.lookup import associations_of
from fits_dagster.calibration.processing_tags import set_processing_tag
from fits_dagster.calibration.queries import compile_ruleset
from fits_dagster.calibration.rules import RuleSet, load_rulesets
from fits_dagster.metadata.instruments.gmos import Gmos
from fits_dagster.metadata.instruments.michelle import Michelle
from fits_dagster.metadata.instruments.nici import Nici
from fits_dagster.metadata.instruments.niri import Niri
from fits_dagster.records.processing_tags import ProcessingTag
from fits_dagster_tests.builders.versions import Archive

UT = datetime(2019, 6, 1, 4, tzinfo=UTC)
HEADER = {
    "engineering": False,
    "qa_state": "Pass",
    "processing": "Raw",
    "reduction": "RAW",
    "ut_datetime": UT,
    "types": [],
}
NIRI = HEADER | {"instrument": "NIRI", "detector_binning": "1x1", "coadds": 1, "spectroscopy": False}
NIRI_ROW = {
    "filter_name": "J_G0202",
    "camera": "f6",
    "focal_plane_mask": "f6-cam_G5208",
    "disperser": "MIRROR",
    "data_section": "full",
    "read_mode": "Low Background",
    "well_depth_setting": "Shallow",
}
SCIENCE = {"observation_type": "OBJECT", "observation_class": "science", "exposure_time": "30"}


def test_every_rule_compiles_and_every_type_is_in_the_vocabulary() -> None:
    for instrument, ruleset in load_rulesets().items():
        assert set(compile_ruleset(instrument).variants) <= set(CALTYPES), ruleset.name


def test_a_vocabulary_is_that_of_the_files() -> None:
    for translator in (Gmos, Michelle, Nici, Niri):
        ruleset = next(each for each in load_rulesets().values() if each.table == translator.table)
        for column, words in translator.column_values.items():
            assert set(ruleset.vocabulary[column]) == words, (ruleset.name, column)


def test_all_instruments_with_rules_are_served() -> None:
    assert set(load_rulesets()) == {
        *("F2", "GHOST", "GMOS", "GMOS-N", "GMOS-S", "GNIRS", "GPI", "GSAOI"),
        *("IGRINS-2", "NICI", "NIFS", "NIRI", "michelle"),
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"table": "no_such_table"},
        {"rules": {"dark": {"of": "raw DARK", "limit": 1, "windou": {"days": 1}}}},
        {"applicable": {"types": [{"add": ["drak"]}]}},
        {"values": {"x": {"function": "no_such_function"}}},
        {"rules": {"dark": {"if": {"object": "x"}, "limit": 1}}},
        {"vocabulary": {"raed_mode": ["Invalid"]}},
    ],
    ids=["table", "misspelt entry", "unknown type", "unknown function", "condition on a rule", "vocabulary"],
)
def test_a_mistake_in_a_rule_file_is_found_when_it_is_loaded(wrong: Mapping[str, Any]) -> None:
    good = {"name": "X", "instruments": ["X"], "table": "niri", "applicable": {}, "rules": {}}
    RuleSet.model_validate(good)
    with pytest.raises(ValidationError):
        RuleSet.model_validate({**good, **wrong})


@pytest.mark.parametrize(
    ("condition", "of_target", "of_candidate"),
    [
        ({"object": {"ne": "Twilight"}}, True, False),
        ({"object": {"not_in": ["Twilight"]}}, True, False),
        ({"object": "Twilight"}, False, False),
        ({"object": None}, True, False),
        ({"elevation": {"lt": 85}}, False, False),
        ({"any_of": [{"object": "x"}, {"camera": {"like": "f_%"}}]}, True, True),
        ({"tag": "MOS", "no_tag": ["LS", "IFU"]}, True, True),
    ],
)
def test_null_differs_for_a_target_but_fails_for_a_candidate(
    condition: Mapping[str, Any], of_target: bool, of_candidate: bool
) -> None:
    facts = Facts({"object": None, "elevation": None, "camera": "f6-cam"}, frozenset({"MOS"}))
    checked = Condition.model_validate(condition)
    assert (checked.of_target(facts), checked.of_candidate(facts)) == (of_target, of_candidate)


def lists(connection: Connection, name: str, **options: bool) -> dict[str, list[str]]:
    return {each.caltype: list(each.names) for each in associations_of(connection, name, **options)}


def test_tolerances_exclude_their_limits_exactly(connection: Connection) -> None:
    archive = Archive(connection)
    target, _ = archive.arrive("target.fits", NIRI | SCIENCE, "niri", [NIRI_ROW])
    for exposure in ("29.99", "29.990001", "30.009999", "30.01"):
        dark = NIRI | {"observation_type": "DARK", "exposure_time": exposure}
        archive.arrive(f"dark{exposure}.fits", dark, "niri", [NIRI_ROW])
    associate_headers(connection, [target])
    assert sorted(lists(connection, "target")["dark"]) == ["dark29.990001.fits", "dark30.009999.fits"]


def test_a_window_is_strict_to_the_microsecond_and_a_mask_may_be_of_the_same_time(
    connection: Connection,
) -> None:
    archive = Archive(connection)
    target, _ = archive.arrive("target.fits", NIRI | SCIENCE, "niri", [NIRI_ROW])
    dark = NIRI | {"observation_type": "DARK", "exposure_time": "30"}
    for name, inside in (("on", timedelta()), ("inside", timedelta(microseconds=1))):
        moment = UT - timedelta(days=180) + inside
        archive.arrive(f"{name}.fits", dark | {"ut_datetime": moment}, "niri", [NIRI_ROW])
    mask = NIRI | {"observation_type": "BPM", "reduction": "PROCESSED_BPM"}
    archive.arrive("later.fits", mask | {"ut_datetime": UT + timedelta(microseconds=1)}, "niri", [NIRI_ROW])
    archive.arrive("same.fits", mask, "niri", [NIRI_ROW])
    associate_headers(connection, [target])
    found = lists(connection, "target")
    assert (found["dark"], found["processed_bpm"]) == (["inside.fits"], ["same.fits"])


def test_candidates_in_the_same_second_are_ordered_by_processing_then_arrival(connection: Connection) -> None:
    archive = Archive(connection)
    target, _ = archive.arrive("target.fits", NIRI | SCIENCE, "niri", [NIRI_ROW])
    flat = NIRI | {"observation_type": "FLAT", "reduction": "PROCESSED_FLAT", "gcal_lamp": "IRhigh"}
    flat |= {"processing_tag": "one"}
    set_processing_tag(connection, ProcessingTag(tag="one", published=True))
    # the nearest by microseconds is not the best: only one is kept, and all three are of one second
    for name, processing, micro in (
        ("near", "Raw", 1),
        ("good", "Science-Quality", 900),
        ("quick", "Quick-Look", 2),
    ):
        moment = UT + timedelta(seconds=5, microseconds=micro)
        archive.arrive(
            f"{name}.fits", flat | {"processing": processing, "ut_datetime": moment}, "niri", [NIRI_ROW]
        )
    associate_headers(connection, [target])
    assert lists(connection, "target")["processed_flat"] == ["good.fits"]


def test_engineering_candidates_serve_engineering_targets_only(connection: Connection) -> None:
    archive = Archive(connection)
    mask = NIRI | {"observation_type": "BPM", "reduction": "PROCESSED_BPM", "engineering": True}
    archive.arrive("mask.fits", mask, "niri", [NIRI_ROW])
    ids = [
        archive.arrive(f"{name}.fits", NIRI | SCIENCE | {"engineering": value}, "niri", [NIRI_ROW])[0]
        for name, value in (("no", False), ("yes", True), ("unknown", None))
    ]
    associate_headers(connection, ids)
    found = {name: lists(connection, name)["processed_bpm"] for name in ("no", "yes", "unknown")}
    assert found == {"no": [], "yes": ["mask.fits"], "unknown": ["mask.fits"]}


def test_what_cannot_be_a_target_has_no_rows(connection: Connection) -> None:
    archive = Archive(connection)
    mask = NIRI | {"observation_type": "BPM", "reduction": "PROCESSED_BPM"}
    archive.arrive("mask.fits", mask, "niri", [NIRI_ROW])
    good = NIRI | SCIENCE
    ids = [
        archive.arrive(f"{number}.fits", record, "niri", [NIRI_ROW])[0]
        for number, record in enumerate(
            (
                good | {"qa_state": "Fail"},
                good | {"ut_datetime": None},
                good | {"instrument": None},
                good | {"instrument": "TReCS"},
            )
        )
    ]
    older, _ = archive.arrive("again.fits", good, "niri", [NIRI_ROW])
    associate_headers(connection, [older])
    assert archive.cached()
    archive.arrive("again.fits", good, "niri", [NIRI_ROW])
    assert set(associate_headers(connection, [*ids, older]).values()) == {0}
    assert archive.cached() == {}


def test_rows_of_a_type_that_is_no_longer_applicable_vanish(connection: Connection) -> None:
    archive = Archive(connection)
    dark = NIRI | {"observation_type": "DARK", "exposure_time": "30"}
    archive.arrive("dark.fits", dark, "niri", [NIRI_ROW])
    target, _ = archive.arrive("target.fits", NIRI | SCIENCE, "niri", [NIRI_ROW])
    associate_headers(connection, [target])
    assert archive.cached()["target.fits"] == {"dark": ["dark.fits"]}
    partner = NIRI | SCIENCE | {"observation_class": "partnerCal"}
    target, _ = archive.arrive("target.fits", partner, "niri", [NIRI_ROW])
    associate_headers(connection, [target])
    assert archive.cached() == {}


def test_a_target_without_a_row_in_its_table_matches_null_columns_only(connection: Connection) -> None:
    archive = Archive(connection)
    record = HEADER | {"instrument": "GMOS-N", "detector_binning": "1x1"}
    target, _ = archive.arrive("target.fits", record | SCIENCE | {"exposure_time": None})
    archive.arrive("odd.fits", record | {"observation_type": "BIAS"}, "gmos", [{}])
    archive.arrive("even.fits", record | {"observation_type": "BIAS"}, "gmos", [{"detector_x_bin": 1}])
    associate_headers(connection, [target])
    assert lists(connection, "target")["bias"] == ["odd.fits"]


def test_cross_dispersed_flats_alternate_between_the_lamps(connection: Connection) -> None:
    archive = Archive(connection)
    row = {
        "disperser": "32/mmXD_G1",
        "camera": "ShortBlue",
        "filter_name": "XD",
        "array_name": "a",
        "well_depth_setting": "Shallow",
        "focal_plane_mask": "0.3&SCXD",
    }
    record = HEADER | {"instrument": "GNIRS", "spectroscopy": True, "central_wavelength": "1.65"}
    target, _ = archive.arrive("target.fits", record | SCIENCE, "gnirs", [row])
    for number in range(8):
        for lamp in ("IRhigh", "QH"):
            moment = UT + timedelta(minutes=number + (0 if lamp == "QH" else 100))
            flat = record | {"observation_type": "FLAT", "gcal_lamp": lamp, "ut_datetime": moment}
            archive.arrive(f"{lamp}{number}.fits", flat, "gnirs", [row])
    associate_headers(connection, [target])
    expected = [f"{lamp}{number}.fits" for number in range(5) for lamp in ("IRhigh", "QH")]
    assert lists(connection, "target")["flat"] == expected


def test_arms_of_ghost_take_turns_and_share_what_serves_both(connection: Connection) -> None:
    archive = Archive(connection)
    arm = {
        "detector_x_bin": 1,
        "detector_y_bin": 1,
        "read_speed_setting": "slow",
        "gain_setting": "low",
        "focal_plane_mask": "SR",
    }
    arms = [arm | {"arm": name} for name in ("blue", "red", "slitv")]
    record = HEADER | {"instrument": "GHOST", "spectroscopy": True, "focal_plane_mask": "SR"}
    target, _ = archive.arrive("target.fits", record | SCIENCE, "ghost", arms)
    bias = record | {"observation_type": "BIAS"}
    for name, minute, rows in (("red", 1, arms[1:2]), ("both", 2, arms), ("blue", 3, arms[:1])):
        archive.arrive(f"{name}.fits", bias | {"ut_datetime": UT + timedelta(minutes=minute)}, "ghost", rows)
    for name, minute in (("before", -9), ("after", 1)):
        arc = record | {"observation_type": "ARC", "ut_datetime": UT + timedelta(minutes=minute)}
        archive.arrive(f"{name}.fits", arc, "ghost", arms)
    associate_headers(connection, [target])
    found = lists(connection, "target")
    assert found["bias"] == ["both.fits", "red.fits", "blue.fits"]
    assert found["arc"] == ["before.fits"]


def test_a_score_weighs_time_against_wavelength(connection: Connection) -> None:
    archive = Archive(connection)
    row = {"disperser": "R400_G5305", "filter_name": "open", "focal_plane_mask": "1.0arcsec"}
    record = HEADER | {"instrument": "GMOS-N", "spectroscopy": True, "observation_type": "OBJECT"}
    science = record | SCIENCE | {"central_wavelength": "0.700", "types": ["LS", "SPECT"], "object": "M31"}
    target, _ = archive.arrive("target.fits", science, "gmos", [row])
    for name, days, wavelength in (("near", 1, "0.714"), ("far", 100, "0.700"), ("wide", 1, "0.716")):
        standard = science | {
            "ut_datetime": UT + timedelta(days=days),
            "central_wavelength": wavelength,
            "types": ["STANDARD", "LS"],
        }
        archive.arrive(f"{name}.fits", standard, "gmos", [row])
    # 200 pixels of R400 are 0.015 um: 0.014/0.015 outweighs a hundred days of a year
    associate_headers(connection, [target])
    assert lists(connection, "target")["standard"] == ["far.fits", "near.fits"]


def test_all_types_are_computed_on_request_and_say_whether_they_apply(connection: Connection) -> None:
    archive = Archive(connection)
    target, _ = archive.arrive("target.fits", NIRI | SCIENCE, "niri", [NIRI_ROW])
    dark = NIRI | {"observation_type": "DARK", "reduction": "PROCESSED_DARK", "exposure_time": "30"}
    archive.arrive("pdark.fits", dark, "niri", [NIRI_ROW])
    associate_headers(connection, [target])
    assert "processed_dark" not in lists(connection, "target.fits.bz2")
    found = {each.caltype: each for each in associations_of(connection, "target", all_types=True)}
    assert found["processed_dark"].names == ("pdark.fits",)
    assert not found["processed_dark"].applicable
    assert found["dark"].applicable
    with pytest.raises(LookupError, match="no file"):
        associations_of(connection, "nothing")
