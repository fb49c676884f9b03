"""File names: trimming, the order of the queues, and the night."""

from __future__ import annotations

import pytest

from fits_dagster.fits.names import night_of, sort_key, stem, trimmed


@pytest.mark.parametrize(
    ("name", "plain", "bare"),
    [
        ("N20240101S0001.fits.bz2", "N20240101S0001.fits", "N20240101S0001"),
        ("N20240101S0001.fits", "N20240101S0001.fits", "N20240101S0001"),
        ("fits.bz2.fits", "fits.bz2.fits", "fits.bz2"),  # the suffix only
        ("blob2zb.2", "blob2zb.2", "blob2zb.2"),  # not the characters of the suffix
        ("02jul07.0034.fits", "02jul07.0034.fits", "02jul07.0034"),
    ],
)
def test_only_the_suffixes_are_cut(name, plain, bare):
    assert (trimmed(name), stem(name)) == (plain, bare)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("S20121122S9876_blah.fits", "z201211229876"),
        ("SDCH_20121020_9876.fits", "z201210209876"),
        ("img_20221020_12h23m34s.fits", "y2022102012h23m34s"),
        ("20001122_GN-2000A-Q-11_obslog.txt", "x20001122GN-2000A-Q-11"),
        ("blahblah", "aaaablahblah"),
        ("some/dir/N20160319S0018.fits", "z201603190018"),  # a directory does not count
        ("N20160319A0018b.fits", "z201603190018"),  # nor does the letter of the instrument
        ("mrgS20121122S9876.fits", "aaaamrgS20121122S9876.fits"),
    ],
)
def test_sort_keys_put_raw_frames_first(name, key):
    assert sort_key(name) == key


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
def test_the_night_is_read_from_every_form_of_name(name, night):
    assert night_of(name) == night
