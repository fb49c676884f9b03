"""Dates and times of observation, with the oddities of thirty years of headers."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fits_dagster.metadata.time_scales import fits_local_time
from fits_dagster.metadata.times import (
    END_YEAR,
    FIRST_YEAR,
    parse_any_date,
    parse_time,
    seconds_since_2000,
    ut_datetime,
    utdate_and_ut,
)
from fits_dagster_tests.builders.headers import cards


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (cards(DATE_OBS="2020-01-31T19:18:42.477", UT="01:00:00"), utc(2020, 1, 31, 19, 18, 42, 477000)),
        (cards(DATE_OBS="2020-01-31", UT="9:08:07.5"), utc(2020, 1, 31, 9, 8, 7, 500000)),
        (cards(DATE="2020-01-31", UT="No Value", UTSTART="10:00:00"), utc(2020, 1, 31, 10)),
        (cards(DATE_OBS="25/12/101", UT="10:00:00"), utc(2001, 12, 25, 10)),  # early NIRI
        (cards(DATE_OBS="25/12/99", UT="10:00:00"), utc(1999, 12, 25, 10)),
        (cards(DATE_OBS="soon", DATE="2020-01-31", UT="1:2:3"), utc(2020, 1, 31, 1, 2, 3)),
        (cards(DATE_OBS="2020-01-31", MJD_OBS=58849.5), utc(2020, 1, 1, 12)),  # no time: MJD
        (cards(MJD_OBS=0.0, OBSSTART="2020-01-31T01:02:03.000Z"), utc(2020, 1, 31, 1, 2, 3)),
        (cards(DATE_OBS="2020-01-31"), utc(2020, 1, 31)),  # midnight as a last resort
        (cards(UT="10:00:00"), utc(2015, 4, 5, 10)),  # the date of the file name
        (cards(DATE_OBS="2020-02-31", UT="25:00:00"), utc(2015, 4, 5)),  # neither exists
    ],
)
def test_the_first_usable_date_and_time_win(header, expected):
    assert ut_datetime(header, (), "N20150405S0028.fits") == expected


ODD = [
    # what is right in spite of its looks
    (cards(DATE_OBS="2016-12-31T23:59:60.5"), utc(2017, 1, 1, 0, 0, 0, 500000)),  # a leap second
    (cards(DATE_OBS="2020-01-31T24:00:00"), utc(2020, 2, 1)),
    (cards(DATE_OBS="2020-01-31", UT="24:00:00.0"), utc(2020, 2, 1)),
    (cards(DATE_OBS="2020-01-31", UT="23:59:60"), utc(2020, 2, 1)),
    (cards(DATE_OBS="2020-01-31T19:18"), utc(2020, 1, 31, 19, 18)),  # no seconds
    (cards(DATE_OBS="2020-01-31", UT="19:18"), utc(2020, 1, 31, 19, 18)),
    (cards(DATE_OBS="2020-01-31T19:18:42Z"), utc(2020, 1, 31, 19, 18, 42)),
    (cards(DATE_OBS="2020-01-31T19:18:42 UTC"), utc(2020, 1, 31, 19, 18, 42)),
    (cards(DATE_OBS="2020-01-31T19:18:42-10:00"), utc(2020, 2, 1, 5, 18, 42)),
    (cards(DATE_OBS="2020-01-31T19:18:42+0530"), utc(2020, 1, 31, 13, 48, 42)),
    (cards(DATE_OBS="2020-01-31T19:18:42.5+03"), utc(2020, 1, 31, 16, 18, 42, 500000)),
    (cards(DATE_OBS="2020-01-31T10:00:00", TIMESYS="UT1"), utc(2020, 1, 31, 10)),
    (cards(DATE_OBS="2020-01-31T10:00:00", TIMESYS="UTC(NIST)"), utc(2020, 1, 31, 10)),
    (cards(DATE="2020-01-31T10:00:00", TIMESYS="TAI"), utc(2020, 1, 31, 10)),  # DATE is always UTC
    (cards(DATE_OBS="2020-01-31", UT="10:00:00", TIMESYS="TAI"), utc(2020, 1, 31, 10)),  # and so is UT
]
TOLD = [
    # what is right, with a finding
    (cards(DATE_OBS="2020-01-31", UT=6.5), utc(2020, 1, 31, 6, 30), "hours"),
    (cards(DATE_OBS="2020-01-31", UT="6.5"), utc(2020, 1, 31, 6, 30), "hours"),
    (cards(DATE_OBS="2020-01-31T10:00:37", TIMESYS="TAI"), utc(2020, 1, 31, 10), "from TAI"),
    (cards(DATE_OBS="2016-12-31T10:00:36", TIMESYS="TAI"), utc(2016, 12, 31, 10), "from TAI"),
    (cards(DATE_OBS="2020-01-31", TIME_OBS="10:00:37", TIMESYS="TAI"), utc(2020, 1, 31, 10), "from TAI"),
    (cards(DATE_OBS="2020-01-31T10:00:18", TIMESYS="GPS"), utc(2020, 1, 31, 10), "from GPS"),
    (cards(DATE_OBS="2020-01-31T10:01:09.184", TIMESYS="TT"), utc(2020, 1, 31, 10), "from TT"),
    (cards(DATE_OBS="2020-01-31T10:00:00", TIMESYS="HST"), utc(2020, 1, 31, 20), "from HST"),
    (cards(DATE_OBS="0001-01-01T10:00:00", DATE="2020-01-31", UT="1:2:3"), utc(2020, 1, 31, 1, 2, 3), "0001"),
    (cards(DATE_OBS="2020-01-31"), utc(2020, 1, 31), "midnight"),
    # what cannot be told
    (cards(DATE_OBS="2020-01-31T10:00:00", TIMESYS="LOCAL"), None, "'LOCAL' is not known"),
    (cards(DATE_OBS="2020-01-31", UT="25:00:00"), None, "no time of day"),
    (cards(DATE_OBS="2020-01-31", UT="10:61:00"), None, "no time of day"),
    (cards(DATE_OBS="2020-01-31", UT="23:59:61"), None, "no time of day"),
    (cards(DATE_OBS="2020-01-31", UT=63000.5), None, "no time of day"),
    (cards(DATE_OBS="2020-01-31", UT=-1), None, "no time of day"),
    (cards(DATE_OBS="0001-01-01T00:00:00"), None, "cannot be the time"),
    (cards(DATE_OBS="9999-12-31T23:59:60"), None, "cannot be the date"),
    (cards(DATE_OBS="9999-12-31", UT="24:00:00"), None, "cannot be the date"),
    (cards(MJD_OBS=1e300), None, "cannot be the time"),
    (cards(MJD_OBS=2_900_000), None, "cannot be the time"),
]


@pytest.mark.parametrize(("header", "expected"), ODD)
def test_odd_times_are_the_right_instant(header, expected):
    findings: list[str] = []
    assert ut_datetime(header, (), "frame.fits", findings) == expected
    assert findings == []


@pytest.mark.parametrize(("header", "expected", "told"), TOLD)
def test_what_is_guessed_or_cannot_be_told_is_a_finding(header, expected, told):
    findings: list[str] = []
    assert ut_datetime(header, (), "frame.fits", findings) == expected
    assert told in " ".join(findings)


@given(st.text(max_size=40), st.one_of(st.text(max_size=20), st.floats(), st.integers()), st.text(max_size=8))
def test_no_date_however_odd_raises(day, clock, scale):
    header = {"DATE-OBS": day, "UT": clock, "TIMESYS": scale, "MJD-OBS": clock}
    found = ut_datetime(header, (), "frame.fits", [])
    assert found is None or FIRST_YEAR - 1 <= found.year <= END_YEAR


@pytest.mark.parametrize(
    ("local", "telescope", "fits"),
    [
        (time(0, 0, 5), "Gemini-North", True),
        (time(10), "Gemini-North", False),  # local time that passes for UTC
        (time(6), "Gemini-South", True),  # winter
        (time(7), "Gemini-South", True),  # summer
        (time(0), "Gemini-South", False),
        (time(10), None, True),
    ],
)
def test_local_time_in_the_place_of_utc_is_found(local, telescope, fits):
    assert fits_local_time(utc(2020, 1, 31, 10), local, telescope) is fits
    assert fits_local_time(utc(2020, 1, 31, 2), time(16), "Gemini-North")


def test_without_any_date_there_is_no_time():
    assert ut_datetime(cards(UT="10:00:00"), (), "frame.fits") is None


def test_the_frame_name_of_an_extension_gives_the_date():
    extension = cards(FRMNAME="S20120922S0406:1")
    assert ut_datetime(cards(UT="10:00:00"), [extension], "frame.fits") == utc(2012, 9, 22, 10)


def test_months_in_letters_are_read_for_phoenix():
    header = cards(UTDATE="2007-Sep-14", UT="02:03:04", DATE="2010-05-18")
    assert utdate_and_ut(header, None) == utc(2007, 9, 14, 2, 3, 4)
    assert utdate_and_ut(cards(UT="02:03:04"), header) == utc(2007, 9, 14, 2, 3, 4)
    assert utdate_and_ut(cards(UTDATE="2007-Foo-14", UT="02:03:04"), None) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2015-04-05", date(2015, 4, 5)),
        ("2015/4/5", date(2015, 4, 5)),
        ("20150405", date(2015, 4, 5)),
        ("5 Apr 2015", date(2015, 4, 5)),
        ("05-April-2015", date(2015, 4, 5)),
        ("2015-13-05", None),
        ("never", None),
        ("", None),
    ],
)
def test_release_dates_come_in_many_forms(text, expected):
    assert parse_any_date(text) == expected


def test_times_of_day():
    assert parse_time("17:27:34.6") == time(17, 27, 34, 600000)
    assert parse_time("No Value") is None
    assert parse_time("17:27") == time(17, 27)
    assert parse_time("23:59:60") is None
    assert parse_time(12.5) is None


def test_seconds_count_from_2000():
    assert seconds_since_2000(utc(2000, 1, 2)) == 86400
    assert seconds_since_2000(datetime(1999, 12, 31, 23, 59, 59, 500000, UTC)) == -1
