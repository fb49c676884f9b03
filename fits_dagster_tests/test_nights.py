"""Nights and file keys: one home for labels, bounds and the names of files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from fits_dagster.nights import UNDATED, FileKey, Night, NightClock, night_label


@pytest.mark.parametrize(
    ("name", "night"),
    [
        ("N20160319S0018.fits", "20160319"),
        ("S20190716Z0925b.fits.bz2", "20190716"),
        ("N20241227M0103.fits", "20241227"),
        ("mrgS20101028S0134.fits", "20101028"),
        ("fmrgN20020413S0120_add.fits", "20020413"),
        ("GS20141226S0203_BIAS.fits", "20141226"),
        ("N20120905S0122_arc.fits", "20120905"),
        ("archive/2016/N20160319S0018.fits", "20160319"),
        ("SDCH_20200201_0023.fits", "20200201"),
        ("img_20221020_12h23m34s.fits", "20221020"),
        ("20001122_GN-2000A-Q-11_obslog.txt", "20001122"),
        ("2004Jul11_obslog.txt", "20040711"),
        ("TX20071021_RAW.2037.fits", "20071021"),
        ("2002may12_0277.fits", "20020512"),
        ("P2002DEC02_0161_SUB.0001.fits", "20021202"),
        ("02jul07.0034.fits", "20020707"),
        ("01DEC05_004.fits", "20011205"),
        ("r01dec05_007.fits", "20011205"),
        ("99sep30_012.fits", "19990930"),
        ("N20160230S0018.fits", None),  # no such day
        ("2002foo12_0277.fits", None),  # no such month
        ("GN2009A123-01.fits", None),  # a mask has no night
        ("miscfile_notes.txt", None),
        ("", None),
    ],
)
def test_the_night_is_read_from_every_form_of_name(name: str, night: str | None) -> None:
    found = Night.of_name(name)
    assert (str(found) if found else None) == night
    assert night_label(name) == FileKey.parse(name).night == (night or UNDATED)


@pytest.mark.parametrize(
    "label", ["2025112", "20251323", "2025-11-23", "202511234", "\u0662\u0660251123", UNDATED]
)
def test_what_is_no_label_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match="is no night label YYYYMMDD"):
        Night.parse(label)


def test_nights_follow_each_other_and_sort_by_date() -> None:
    night = Night.parse("20240229")
    assert (str(night.next), str(night.previous)) == ("20240301", "20240228")
    assert [str(each) for each in night.back(3)] == ["20240229", "20240228", "20240227"]
    assert night.previous < night < night.next


@pytest.mark.parametrize(
    ("hours", "moment", "label"),
    [
        (0, datetime(2026, 1, 9, 23, 59, tzinfo=UTC), "20260109"),  # Hawaii: the UTC date
        (
            6,
            datetime(2026, 1, 9, 22, 56, tzinfo=UTC),
            "20260110",
        ),  # Chile: an afternoon frame of the next night
        (6, datetime(2026, 1, 9, 17, 59, tzinfo=UTC), "20260109"),
        (-10, datetime(2026, 1, 10, 9, 0, tzinfo=UTC), "20260109"),  # east of Greenwich
        (6, datetime(2026, 1, 9, 19, 0, tzinfo=timezone(timedelta(hours=-3))), "20260110"),
    ],
)
def test_the_night_of_a_time_lies_within_its_bounds(hours: float, moment: datetime, label: str) -> None:
    clock = NightClock(hours)
    night = clock.night_at(moment)
    assert str(night) == label == str(clock.tonight(moment))
    begins, ends = clock.bounds(night)
    assert begins <= moment < ends
    assert ends - begins == timedelta(days=1)
    assert clock.night_at(begins) == night == clock.night_at(ends - timedelta(seconds=1))
    assert clock.bounds(night.previous, night) == (begins - timedelta(days=1), ends)


def test_a_night_is_live_while_files_may_come() -> None:
    now = datetime(2026, 1, 9, 12, tzinfo=UTC)
    assert [Night.parse(label).is_live(now) for label in ("20260110", "20260107", "20260106")] == [
        True,
        True,
        False,
    ]


def test_a_file_key_is_a_path_and_a_name() -> None:
    key = FileKey.parse("obslogs/2026/N20260109S0001.fits.bz2")
    assert (key.path, key.filename) == ("obslogs/2026", "N20260109S0001.fits.bz2")
    assert (key.name, key.sort_key) == ("N20260109S0001.fits", "z202601090001")
    assert str(key) == "obslogs/2026/N20260109S0001.fits.bz2"
    assert str(FileKey("", "a.fits")) == "a.fits" == FileKey.parse("a.fits").filename
