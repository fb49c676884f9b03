"""What may be stored in a field, and rules of single fields that real headers seldom show."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from fits_dagster.fits.reading import headers_from_text
from fits_dagster.metadata import describe, summary
from fits_dagster.metadata.record import FIELDS, RejectedValueError, checked


def record(instrument: str = "NIRI", extension: str = "", **keywords: object) -> dict[str, object]:
    lines = ["SIMPLE  = T", f"INSTRUME= '{instrument}'"]
    for key, value in keywords.items():
        shown = "T" if value is True else "F" if value is False else repr(value)
        lines.append(f"{key.replace('DATE_', 'DATE-'):8}= {shown}")
    return describe(headers_from_text("\n".join([*lines, extension])), "frame.fits").record


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("ra", 360.0, 360.0),
        ("airmass", 1, 1.0),
        ("exposure_time", 9999.9999999, 10000.0),
        ("coadds", 3.0, 3),
        ("mode", "LS", "LS"),
        ("release", date(2020, 1, 1), date(2020, 1, 1)),
        ("object", None, None),
    ],
)
def test_fitting_values_are_kept(field, value, stored):
    assert checked(field, value) == stored


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ra", 360.1),
        ("dec", -90.5),
        ("airmass", 0.9),
        ("airmass", 100.0),
        ("exposure_time", 10000),
        ("exposure_time", -1),
        ("coadds", 2.5),
        ("coadds", True),
        ("mode", "imaging spectroscopy"),
        ("object", 5),
        ("engineering", 1),
        ("release", datetime(2020, 1, 1, tzinfo=UTC)),
        ("ra", "12"),
    ],
)
def test_values_that_do_not_fit_are_rejected(field, value):
    with pytest.raises(RejectedValueError, match=field):
        checked(field, value)


@pytest.mark.parametrize(
    ("keywords", "field", "expected"),
    [
        ({"GEMPRGID": "gn-2020a-q-1"}, "program_id", "GN-2020A-Q-1"),
        ({"GEMPRGID": "GN-2020A-Q-1"}, "engineering", False),
        ({}, "engineering", True),
        ({"GEMPRGID": "Odd"}, "engineering", True),
        ({"GEMPRGID": "GN-2020A-Q-1", "ENG_DATA": True}, "engineering", True),
        ({"ENG_DATA": False}, "engineering", False),
        ({"GEMPRGID": "G-2025B-COM-GMOSN-01"}, "engineering", False),
        ({"GEMPRGID": "G-2025A-0123-V"}, "science_verification", True),
        ({"PROCREVW": "Quality-Assessment", "PROCMODE": "ql"}, "processing", "Quality-Assessment"),
        ({"PROCREVW": "Unheard", "PROCSCI": "sq"}, "processing", "Science-Quality"),
        ({}, "processing", "Raw"),
        ({"TELESCOP": "GEMINI_NORTH"}, "telescope", "Gemini-North"),
        ({"TELESCOP": "Gemini North"}, "telescope", None),
        ({"AZIMUTH": "+ 75:00:36.0"}, "azimuth", 75.01),
        ({"CRPA": 400.0}, "cass_rotator_pa", None),
        ({"AIRMASS": 99.9, "ELEVATIO": 30.0}, "airmass", 2.0),
        ({"AIRMASS": 99.9}, "airmass", None),
        ({"AIRMASS": "1.25"}, "airmass", 1.25),
        ({"AIRMASS": 0.5}, "airmass", None),
        ({"RAWIQ": "20-percentile"}, "raw_iq", 20),
        ({"RAWIQ": "Any"}, "raw_iq", 100),
        ({"RAWIQ": "UNKNOWN"}, "raw_iq", None),
        ({"REQBG": 50}, "requested_bg", None),
        ({"RAWPIREQ": "NO", "RAWGEMQA": "USABLE"}, "qa_state", "Usable"),
        ({"RAWPIREQ": "CHECK", "RAWGEMQA": "USABLE"}, "qa_state", "CHECK"),
        ({"RAWPIREQ": "YES", "RAWGEMQA": "BAD"}, "qa_state", "Fail"),
        ({"RAWPIREQ": "YES"}, "qa_state", "Undefined"),
        ({"OBSTYPE": "MASK", "RAWGEMQA": "BAD", "RAWPIREQ": "NO"}, "qa_state", "Pass"),
        ({"GCALLAMP": "IRhigh", "GCALSHUT": "CLOSED"}, "gcal_lamp", "Off"),
        ({"GCALLAMP": "Ar", "GCALSHUT": "CLOSED"}, "gcal_lamp", "Ar"),
        ({"GCALLAMP": "no value", "GCALSHUT": "OPEN"}, "gcal_lamp", "Off"),
        ({"GCALLAMP": "Ar"}, "gcal_lamp", None),
        ({"AOFOLD": "IN"}, "adaptive_optics", True),
        ({"LGUSTAGE": "IN"}, "laser_guide_star", True),
        (
            {"PWFS2_ST": "guiding", "AOWFS_ST": "guiding", "GWFS1CFG": "x"},
            "wavefront_sensor",
            "AOWFS&GEMS&PWFS2",
        ),
        ({"PREIMAGE": True}, "pre_image", True),
        ({"PREIMAGE": "T"}, "pre_image", True),
        ({"PREIMAGE": "no"}, "pre_image", False),
        ({"PROP_MD": True}, "proprietary_coordinates", True),
        ({"EXPTIME": 10.0, "COADDS": 3}, "exposure_time", 30.0),
        ({"EXPTIME": "10.0", "COADDS": 3, "PREPARED": "x"}, "exposure_time", 10.0),
        ({"EXPTIME": 9000, "COADDS": 3}, "exposure_time", None),
        ({"OBSTYPE": "ODDITY"}, "observation_type", None),
        ({"GIFLAT": "x", "GIFRINGE": "x", "OBSTYPE": "FLAT"}, "reduction", "PROCESSED_FLAT"),
        ({"GIFRINGE": "x", "OBSTYPE": "FLAT"}, "reduction", "PROCESSED_FRINGE"),
        ({"PROCILLM": "x"}, "reduction", "PROCESSED_UNKNOWN"),
        ({"PREPARE": "x"}, "reduction", "PREPARED"),
    ],
)
def test_rules_of_single_fields(keywords, field, expected):
    found = record(**keywords)[field]
    assert found == (pytest.approx(expected) if isinstance(expected, float) else expected)


def test_coadds_are_not_counted_where_they_are_averaged():
    assert record("GSAOI", EXPTIME=10.0, COADDS=3)["exposure_time"] == 10.0


def test_the_record_has_every_field_and_only_these():
    assert list(record()) == list(FIELDS)


def test_processed_files_tell_how_they_were_made():
    lines = "SIMPLE  = T\nPROCITNT= 'Science-Quality'\nPROCSOFT= 'DRAGONS'\nPROCMODE= 'sq'\nPROCLEVL= 2\n"
    found = describe(headers_from_text(lines), "a.fits")
    assert found.reduction_row["processing_intent"] == "Science-Quality"
    assert found.reduction_row["software_used"] == "DRAGONS"
    assert found.reduction_row["software_mode"] is None  # not one of the five modes
    assert found.reduction_row["processing_level"] == 2
    raw = describe(headers_from_text("SIMPLE  = T"), "a.fits")
    assert raw.reduction_row["processing_level"] == 0


def test_the_summary_prints_times_as_the_archive_does():
    whole = record(DATE_OBS="2020-01-31", UT="10:00:00", LT="17:27:34.6", RELEASE="2021-01-31")
    shown = summary(whole, "a.fits.bz2", {"file_size": 12, "file_md5": "abc"})
    assert shown["ut_datetime"] == "2020-01-31 10:00:00"
    assert shown["local_time"] == "17:27:34.600000"
    assert shown["release"] == "2021-01-31"
    assert (shown["name"], shown["compressed"], shown["size"], shown["md5"]) == ("a.fits", True, 12, "abc")
    assert shown["types"] == str(whole["types"])
