"""File names: trimming, and the order of the queues."""

from __future__ import annotations

import pytest

from fits_dagster.fits.names import sort_key, stem, trimmed


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
