"""The text of all headers."""

from __future__ import annotations

from fits_dagster.fits.fulltext import full_text
from fits_dagster.fits.reading import headers_from_text, read_headers


def test_the_layout_is_that_of_the_archive(whole_file, saved):
    hdus = read_headers(saved(whole_file))
    lines = full_text("N20240101S0001.fits.bz2", {"RAW", "GEMINI"}, hdus).splitlines()
    assert lines[:7] == [
        "Filename: N20240101S0001.fits.bz2",
        "",
        "AstroData Tags: {'GEMINI', 'RAW'}",
        "",
        "",
        "--- PHU ---",
        "SIMPLE  =                    T",
    ]
    assert lines[8:12] == [
        "NAXIS   =                    0",
        "",
        "--- HDU 1 ---",
        "XTENSION=           'IMAGE   '",
    ]
    assert lines.count("--- HDU 2 ---") == 1


def test_the_text_can_be_read_back(whole_file, saved):
    hdus = read_headers(saved(whole_file))
    assert headers_from_text(full_text("a.fits", (), hdus)) == hdus


def test_nul_characters_are_left_out():
    (hdu,) = headers_from_text("SIMPLE  = T\nOBJECT  = 'a\0b'")
    assert "\0" not in full_text("a.fits", (), [hdu])
